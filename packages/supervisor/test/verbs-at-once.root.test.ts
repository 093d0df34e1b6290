/** Any verb at any moment: done or refused, but never a failure of the engine's own, and nothing is left. */
import { busyboxTar, temporaryDirectory, TestSupervisor } from '@holdfast/testkit'
import { expect, it } from 'vitest'
import { randomNumbers } from './random-numbers.ts'

const seconds = 10
const clients = 8
const names = Array.from({ length: 10 }, (_, index) => `n${index}`)
const scripts = [
  'exit 3',
  'usleep 100000',
  'sleep 100',
  'trap "exit 5" TERM; while :; do usleep 50000; done',
  'yes | head -c 100000',
]

it.skipIf(process.getuid?.() !== 0)(
  'takes every verb at any moment, from several clients',
  { timeout: 180_000 },
  async () => {
    using directory = temporaryDirectory()
    await using supervisor = await TestSupervisor.start()
    await supervisor.request('POST', '/images/create?fromSrc=-&repo=busybox', busyboxTar(directory.path))
    const storm = new Storm(supervisor)
    await Promise.all(Array.from({ length: clients }, () => storm.client()))
    for (const { Id } of (await storm.list()) as { Id: string }[]) await storm.remove(Id)
    expect(await storm.list()).toEqual([])
    expect(storm.outcome()).toEqual({ ...storm.outcome(), failures: [] })
  },
)

class Storm {
  readonly #supervisor: TestSupervisor
  readonly #random = randomNumbers()
  readonly #failures: string[] = []

  constructor(supervisor: TestSupervisor) {
    this.#supervisor = supervisor
  }

  outcome(): { seed: number; failures: string[] } {
    return { seed: this.#random.seed, failures: this.#failures }
  }

  async client(): Promise<void> {
    const until = performance.now() + seconds * 1000
    while (performance.now() < until) await this.#verb(this.#random.pick(names))
  }

  async list(): Promise<unknown> {
    return (await this.#call('GET', '/containers/json?all=1')).json
  }

  async remove(ref: string): Promise<void> {
    await this.#call('DELETE', `/containers/${ref}?force=1&v=1`)
  }

  async #verb(name: string): Promise<unknown> {
    const { pick } = this.#random
    const post = (verb: string) => this.#call('POST', `/containers/${name}/${verb}`)
    const verbs = [
      ...Array.from({ length: 3 }, () => () => this.#run(name)),
      () => this.#exec(name),
      () => this.remove(name),
      () => this.list(),
      () => this.#call('GET', `/containers/${name}/logs?stdout=1`),
      () => post(`kill?signal=${pick(['KILL', 'TERM'])}`),
      ...['start', 'stop?t=0', 'restart?t=0', 'pause', 'unpause'].map((verb) => () => post(verb)),
    ]
    return await pick(verbs)()
  }

  async #run(name: string): Promise<void> {
    const { pick } = this.#random
    const partner = `container:${pick(names)}`
    const { status } = await this.#call('POST', `/containers/create?name=${name}`, {
      Image: 'busybox',
      Cmd: ['sh', '-c', pick(scripts)],
      HostConfig: {
        AutoRemove: pick([true, false, false]),
        NetworkMode: pick(['none', 'bridge', 'host', partner]),
        IpcMode: pick(['', 'shareable', partner]),
        PortBindings: pick([{}, {}, { '80/tcp': [{ HostPort: '' }] }]),
        Binds: pick([[], ['shared:/v']]),
      },
    })
    if (status === 201) await this.#call('POST', `/containers/${name}/start`)
  }

  async #exec(name: string): Promise<void> {
    const body = { Cmd: ['sh', '-c', 'echo hi; usleep 20000'], AttachStdout: true }
    const { status, json } = await this.#call('POST', `/containers/${name}/exec`, body)
    const start = { Detach: this.#random.pick([true, false]) }
    if (status === 201) await this.#call('POST', `/exec/${json.Id}/start`, start)
  }

  async #call(method: string, path: string, body?: unknown) {
    const answer = await this.#supervisor.request(method, path, body)
    if (answer.status >= 500) this.#failures.push(`${method} ${path}: ${answer.status} ${answer.text}`)
    return answer
  }
}
