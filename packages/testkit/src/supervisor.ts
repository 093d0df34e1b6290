import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { text } from 'node:stream/consumers'

import { eventually } from './eventually.ts'
import { uniqueInstance } from './instance.ts'
import { findLeaks } from './leaks.ts'
import { temporaryDirectory } from './temporary-directory.ts'

const program = fileURLToPath(new URL('../../supervisor/src/main.ts', import.meta.url))

/** A real supervisor with everything of its own, started as a program. */
export class TestSupervisor implements AsyncDisposable {
  readonly instance: string
  readonly root: string
  readonly socket: string
  /** What it wrote to standard error so far. */
  output = ''
  readonly #directory: Disposable
  readonly #flags: string[]
  #child: ChildProcess | undefined

  private constructor(flags: string[]) {
    const directory = temporaryDirectory()
    this.#directory = directory
    this.#flags = flags
    this.root = directory.path
    this.instance = uniqueInstance()
    this.socket = join(this.root, 'hf.sock')
  }

  static async start(...flags: string[]): Promise<TestSupervisor> {
    const supervisor = new TestSupervisor(flags)
    await supervisor.start()
    return supervisor
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  /** Starts it, or starts it again with the same state. */
  async start(): Promise<void> {
    const { root, instance } = this
    mkdirSync(join(root, 'run'), { recursive: true, mode: 0o700 })
    const child = spawn(
      process.execPath,
      [
        '--conditions=@holdfast/source',
        program,
        '--instance',
        instance,
        '--host',
        `unix://${this.socket}`,
        '--data-root',
        join(root, 'data'),
        '--exec-root',
        join(root, 'run'),
        '--pidfile',
        join(root, 'pid'),
        ...this.#flags,
      ],
      { env: { PATH: process.env['PATH'] ?? '' }, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] },
    )
    this.#child = child
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (this.output += chunk))
    try {
      await eventually(async () => (await this.request('GET', '/_ping')).status === 200, 50_000)
    } catch (cause) {
      throw new Error(`the supervisor does not answer; it wrote:\n${this.output}`, { cause })
    }
  }

  /** One request; the answer's body as text, and parsed where it is JSON. */
  async request(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; text: string; json: any }> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const message = request(
        {
          socketPath: this.socket,
          method,
          path,
          headers: { 'content-type': 'application/json' },
          agent: false,
        },
        resolve,
      )
      message.on('error', reject)
      if (Buffer.isBuffer(body)) message.end(body)
      else message.end(body === undefined ? undefined : JSON.stringify(body))
    })
    const answer = await text(response)
    const isJson = response.headers['content-type']?.startsWith('application/json') && answer !== ''
    return { status: response.statusCode ?? 0, text: answer, json: isJson ? tryJson(answer) : undefined }
  }

  /** Ends it, or kills it with SIGKILL; containers go on either way. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  /** Removes every container, ends the supervisor, and fails when anything of the instance is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#child) {
        const { json } = await this.request('GET', '/containers/json?all=1')
        for (const { Id } of json as { Id: string }[]) {
          await this.request('DELETE', `/containers/${Id}?force=1&v=1`)
        }
      }
      await this.stop()
      await this.#cleanMachine()
    } finally {
      this.#directory[Symbol.dispose]()
    }
  }

  /** A supervisor leaves bridge, table and cgroup parent for its next start; with `--purge` it takes them along. */
  async #cleanMachine(): Promise<void> {
    const purge = spawn(
      process.execPath,
      [
        '--conditions=@holdfast/source',
        program,
        '--instance',
        this.instance,
        '--purge',
        '--data-root',
        join(this.root, 'data'),
        '--exec-root',
        join(this.root, 'run'),
      ],
      { env: { PATH: process.env['PATH'] ?? '' }, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] },
    )
    const errors = text(purge.stderr)
    const [code] = (await once(purge, 'exit')) as [number]
    if (code !== 0) throw new Error(`--purge failed (${code}): ${await errors}`)
    await eventually(() => {
      const leaks = findLeaks(this)
      if (leaks.length > 0) throw new Error(`left behind:\n${leaks.join('\n')}`)
      return true
    })
  }
}

function tryJson(answer: string): unknown {
  try {
    return JSON.parse(answer)
  } catch {
    return undefined // a stream of JSON lines
  }
}
