// An engine under measurement: started in a network and mount namespace of its own, spoken to over its unix socket.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, readdirSync } from 'node:fs'
import { Agent, request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { buffer } from 'node:stream/consumers'

/** What either engine is told: its directories, beneath one. */
export function engineFlags(root: string, socket: string): string[] {
  const directories = { 'data-root': 'data', 'exec-root': 'run', pidfile: 'pid' }
  return [
    '--host',
    `unix://${socket}`,
    ...Object.entries(directories).flatMap(([flag, name]) => [`--${flag}`, join(root, name)]),
  ]
}

/** Debian's, its directories beneath `root`. */
export function dockerdIn(root: string, flags: string[] = []): Engine {
  return new Engine('dockerd', root, (...where) => [
    'dockerd',
    ...engineFlags(...where),
    '--storage-driver',
    'overlay2',
    ...flags,
  ])
}

export class Engine {
  readonly name: string
  readonly root: string
  readonly #command: string[]
  readonly #socket: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  #child: ChildProcess | undefined

  constructor(name: string, root: string, command: (root: string, socket: string) => string[]) {
    this.name = name
    this.root = root
    this.#socket = join(root, 'e.sock')
    this.#command = command(root, this.#socket)
  }

  async start(): Promise<void> {
    mkdirSync(join(this.root, 'run'), { recursive: true, mode: 0o700 })
    const log = openSync(join(this.root, 'log'), 'a')
    this.#child = spawn(
      'unshare',
      // The exec root on a tmpfs, as /run is on any machine with systemd.
      [
        '-n',
        '-m',
        'sh',
        '-c',
        'ip link set lo up && mount -t tmpfs tmpfs "$0" && exec "$@"',
        join(this.root, 'run'),
        ...this.#command,
      ],
      { stdio: ['ignore', log, log], env: { PATH: process.env['PATH'] ?? '' }, cwd: '/' },
    )
    const deadline = performance.now() + 60_000
    for (;;) {
      try {
        if ((await this.call('GET', '/_ping')).status === 200) return
      } catch (error) {
        if (this.#child.exitCode !== null || performance.now() > deadline) {
          throw new Error(
            `${this.name} did not start: ${readFileSync(join(this.root, 'log'), 'utf8').slice(-2000)}`,
            { cause: error },
          )
        }
      }
      await delay(50)
    }
  }

  /** Removes every container, and ends it. */
  async stop(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null) return
    const all = await this.json<{ Id: string }[]>('GET', '/containers/json?all=1')
    for (const { Id } of all) await this.json('DELETE', `/containers/${Id}?force=1`)
    this.#agent.destroy()
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    contentType = 'application/json',
  ): Promise<Answer> {
    const response = await this.open(method, path, body, contentType)
    const content = await buffer(response)
    return { status: response.statusCode ?? 0, body: content }
  }

  /** As `call`, and an error where the status is one. */
  async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.call(method, path, body)
    if (answer.status >= 400)
      throw new Error(`${this.name}: ${method} ${path}: ${answer.status} ${answer.body.toString()}`)
    return (answer.body.length > 0 ? JSON.parse(answer.body.toString()) : undefined) as T
  }

  open(
    method: string,
    path: string,
    body?: unknown,
    contentType = 'application/json',
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const message = request(
        { socketPath: this.#socket, agent: this.#agent, method, path: `/v1.41${path}` },
        resolve,
      )
      message.on('error', reject)
      if (body === undefined) return message.end()
      message.setHeader('Content-Type', contentType)
      message.end(Buffer.isBuffer(body) ? body : JSON.stringify(body))
    })
  }

  /** The process that was started, what names the engine's directory, and the children of both. */
  processes(): EngineProcess[] {
    const all = readdirSync('/proc').flatMap((pid) => (/^\d+$/.test(pid) ? describe(Number(pid)) : []))
    const first = all.filter((one) => one.pid === this.#child?.pid || one.title.includes(this.root))
    const found = new Set(first.map((one) => one.pid))
    for (let before = -1; before !== found.size;) {
      before = found.size
      for (const one of all) if (found.has(one.parent)) found.add(one.pid)
    }
    return all.filter((one) => found.has(one.pid))
  }
}

export interface Answer {
  status: number
  body: Buffer
}

export interface EngineProcess {
  pid: number
  parent: number
  title: string
  /** KiB. */
  pss: number
  private: number
}

/** Empty where the process has gone in the meantime. */
function describe(pid: number): EngineProcess[] {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return [
      {
        pid,
        parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]),
        title: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
        pss: field('Pss'),
        private: field('Private_Clean') + field('Private_Dirty'),
      },
    ]
  } catch {
    return []
  }
}
