/** Published ports and names while parts of the engine are killed: a client waits for a moment, and is not refused. */
import { closeSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatagrams, openNamespaceOf } from '@holdfast/core'
import { busyboxTar, eventually, processTitle, TestSupervisor } from '@holdfast/testkit'
import { temporaryDirectory } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** One that the resolver answers by itself: an opcode that it doesn't know. */
const question = Buffer.from('123410000001000000000000', 'hex')

/** A container with a server behind [::1] (a relay of its shim's) and 127.0.0.1 (the kernel's), and names. */
const body = {
  Image: 'busybox',
  Cmd: ['httpd', '-f', '-h', '/www'],
  Labels: { 'holdfast.egress.allow': 'a.example tcp 1' },
  HostConfig: { PortBindings: { '80/tcp': [{}] } },
}

describe.skipIf(process.getuid?.() !== 0)('published ports and names', () => {
  let world: World
  beforeAll(async () => {
    world = await World.open()
  })
  afterAll(() => world[Symbol.asyncDispose]())

  it('refuse nobody while the shim is killed, twenty times', { timeout: 120_000 }, async () => {
    const clients = world.clients()
    for (let kills = 0; kills < 20; kills++) {
      const shim = await eventually(() => world.shim())
      process.kill(Number(shim), 'SIGKILL')
      const before = { ...clients.served }
      await eventually(() => {
        const { v6, names } = clients.served
        return v6 > before.v6 + 1 && names > before.names + 1 && world.shim() !== shim
      })
    }
    await clients.stop()
    // A connection that the killed shim had accepted is broken off, and a question that it had read is lost.
    expect(clients.failed.filter((each) => !/^v6 (ECONNRESET|end)$|^names late$/.test(each))).toEqual([])
    expect(clients.failed.length).toBeLessThanOrEqual(40)
  })

  it('do not notice that supervisor and zygote are killed', { timeout: 120_000 }, async () => {
    const clients = world.clients()
    const zygote = await eventually(() => world.zygote())
    process.kill(Number(zygote), 'SIGKILL')
    await sleep(100) // for the clients to notice
    await world.supervisor.stop('SIGKILL')
    await sleep(100) // the same
    await world.supervisor.start()
    await clients.stop()
    expect(clients.failed).toEqual([])
    expect(Math.min(...Object.values(clients.served))).toBeGreaterThan(10)
  })
})

function nameOf({ instance }: TestSupervisor): string {
  return `${instance}-web`
}

function processesTitled(title: string): string[] {
  return readdirSync('/proc').filter((pid) => processTitle(pid) === title)
}

/** 0 where it has ended. */
function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return 0
  }
}

type Kind = 'v4' | 'v6' | 'names'

class World implements AsyncDisposable {
  /** Unique on the machine: it is in the shim's title. */
  readonly #name: string
  readonly supervisor: TestSupervisor
  readonly #port: number
  readonly #netns: number

  private constructor(supervisor: TestSupervisor, state: { pid: number; port: number }) {
    this.supervisor = supervisor
    this.#name = nameOf(supervisor)
    this.#port = state.port
    this.#netns = openNamespaceOf(state.pid, 'net')
  }

  static async open(): Promise<World> {
    const supervisor = await TestSupervisor.start()
    using scratch = temporaryDirectory()
    const tar = busyboxTar(scratch.path)
    await supervisor.request('POST', '/images/create?fromSrc=-&repo=busybox&tag=latest', tar)
    const { json } = await supervisor.request('POST', `/containers/create?name=${nameOf(supervisor)}`, body)
    const started = await supervisor.request('POST', `/containers/${json.Id}/start`)
    expect(started.status, started.text).toBe(204)
    const { State, NetworkSettings } = (await supervisor.request('GET', `/containers/${json.Id}/json`)).json
    const port = Number(NetworkSettings.Ports['80/tcp'][0].HostPort)
    const world = new World(supervisor, { pid: State.Pid, port })
    for (const kind of ['v4', 'v6', 'names'] as const)
      await eventually(async () => (await world.#ask(kind)) === 'served')
    return world
  }

  shim(): string | undefined {
    return processesTitled(`holdfast: shim ${this.#name}`)[0]
  }

  zygote(): string | undefined {
    return processesTitled('holdfast: zygote').find((pid) => parentOf(pid) === this.supervisor.pid)
  }

  /** One of each kind, which asks again and again until `stop`. */
  clients() {
    const [failed, served] = [[] as string[], { v4: 0, v6: 0, names: 0 }]
    let stopped = false
    const loop = async (kind: Kind) => {
      while (!stopped) {
        const result = await this.#ask(kind)
        if (result === 'served') served[kind]++
        else failed.push(`${kind} ${result}`)
        await sleep(10) // so that others get the processor too
      }
    }
    const all = Promise.all([loop('v4'), loop('v6'), loop('names')])
    const stop = async () => ((stopped = true), await all)
    return { failed, served, stop }
  }

  #ask(kind: Kind): Promise<string> {
    return kind === 'names' ? this.#question() : this.#page(kind === 'v4' ? '127.0.0.1' : '::1')
  }

  /** `served`, the error's code, or `end` where there is no page. */
  #page(host: string): Promise<string> {
    return new Promise((resolve) => {
      let page = ''
      const socket = connect({ host, port: this.#port })
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(String(code)))
      socket.on('data', (data) => (page += String(data)))
      socket.on('close', () => resolve(page.includes('it works') ? 'served' : 'end'))
      socket.write('GET / HTTP/1.0\r\n\r\n')
    })
  }

  /** Sent once. `late`: no answer within as long as a stub resolver waits. */
  #question(): Promise<string> {
    return new Promise((resolve) => {
      const end = (what: string) => {
        clearTimeout(timer)
        socket.close()
        resolve(what)
      }
      const timer = setTimeout(() => end('late'), 5000)
      const socket = openDatagrams(
        { netns: this.#netns, connect: { address: '127.0.0.11', port: 53 } },
        { onMessage: () => end('served'), onError: end },
      )
      socket.send(question)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.#netns)
    await this.supervisor[Symbol.asyncDispose]()
  }
}
