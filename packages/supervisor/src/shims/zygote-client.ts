/** Starts shims: forked from a prepared Node process (design: the zygote), or as plain processes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { HoldfastError } from '@holdfast/errors'
import { programFile } from '../program-file.ts'

export interface ZygoteOptions {
  /** `fork` (default); `plain` starts every shim as a Node process of its own. */
  mode?: 'fork' | 'plain'
  /** How many shims are forked before they are asked for. Default 1. */
  ahead?: number
  /** Where the instance's cgroups lie. Default `/holdfast`. */
  cgroupParent?: string
  /** A directory of root's alone where shims keep compiled system-call filters for each other. */
  seccompCache?: string
  /** Where the launch workers listen, in a directory of root's alone; without it each shim launches by itself. */
  launchSocket?: string
  /** MiB of V8 heap a shim may use. Default 48. */
  heapMiB?: number
  /** Called with each line that the zygote or a plain shim wrote to stderr. */
  onLog?: (line: string) => void
}

export interface ForkOptions {
  /** The shim's directory, absolute: config.json and shim.json lie in it. */
  dir: string
  /** Begin `create` at once, while the caller still connects; the `create` request then gets its result. */
  create?: boolean
}

interface OpenFork {
  resolve(result: { pid: number }): void
  reject(error: Error): void
}

/** How many zygotes may be killed one after the other. */
const mostTries = 5

function wasKilled(error: unknown): boolean {
  return error instanceof HoldfastError && error.details?.['signal'] !== undefined
}

/** It compiles all that a shim will run: seconds on a machine that is slow, or busy with something else. */
const startDeadlineMs = 120_000

export class ZygoteClient {
  readonly #options: ZygoteOptions
  #running: Promise<Zygote> | undefined
  #closed = false

  private constructor(options: ZygoteOptions) {
    this.#options = options
  }

  /** Throws HF_SHIM_LOST when the zygote doesn't come up. */
  static async start(options: ZygoteOptions = {}): Promise<ZygoteClient> {
    const client = new ZygoteClient(options)
    if (options.mode !== 'plain') await client.#zygote()
    return client
  }

  /**
   * Returns at once: the zygote warms up meanwhile (`lazy`: when it is first needed), and the first `fork` waits for
   * it, or throws what went wrong.
   */
  static open(options: ZygoteOptions & { lazy?: boolean } = {}): ZygoteClient {
    const client = new ZygoteClient(options)
    if (!options.lazy) client.warmUp()
    return client
  }

  /** Begins with it where that has not been done, and returns at once. */
  warmUp(): void {
    if (this.#options.mode !== 'plain') this.#zygote().catch(() => {})
  }

  /** The zygote's process id; undefined while there is none. */
  pid: number | undefined

  /** Starts a shim. When the zygote died, another is started first. Throws HF_SHIM_LOST. */
  async fork(options: ForkOptions): Promise<{ pid: number }> {
    if (this.#closed) throw new HoldfastError('HF_INTERNAL', 'the zygote client is closed')
    if (this.#options.mode === 'plain') return startPlainShim(options, this.#options)
    for (let tries = 1; ; tries++) {
      let zygote: Zygote | undefined
      try {
        zygote = await this.#zygote()
        return await zygote.fork(options)
      } catch (error) {
        // One that died has left our request unanswered. Whether a shim came of it is known by its directory's lock: a
        // second one for the same directory ends by itself. One that ended by itself would do so again.
        const killed = zygote === undefined ? wasKilled(error) : !zygote.alive
        if (!killed || this.#closed || tries === mostTries) throw error
      }
    }
  }

  /** Ends the zygote, and resolves when it has gone; its shims go on. */
  async close(): Promise<void> {
    this.#closed = true
    const zygote = await this.#running?.catch(() => undefined)
    zygote?.end()
    await zygote?.ended
  }

  #zygote(): Promise<Zygote> {
    this.#running ??= Zygote.start(this.#options, () => {
      this.#running = undefined
      this.pid = undefined
    }).then(
      (zygote) => {
        this.pid = zygote.pid
        return zygote
      },
      (error) => {
        this.#running = undefined
        throw error
      },
    )
    return this.#running
  }
}

const zygoteHint = 'Another zygote is being started: try again in a moment. The log says why it ended.'

/** One zygote process: JSON lines on its stdin and stdout. */
class Zygote {
  readonly #child: ChildProcess
  readonly #open = new Map<number, OpenFork>()
  #nextId = 1
  alive = true
  readonly ended: Promise<void>
  readonly #setEnded: () => void

  private constructor(child: ChildProcess) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    this.#setEnded = resolve
    this.#child = child
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  static start(options: ZygoteOptions, onExit: () => void): Promise<Zygote> {
    const args = [
      `--ahead=${options.ahead ?? 1}`,
      `--cgroup-parent=${options.cgroupParent ?? '/holdfast'}`,
      ...seccompCacheFlag(options),
      ...(options.launchSocket === undefined ? [] : [`--launch-socket=${options.launchSocket}`]),
    ]
    const child = spawnNode('zygote', args, options, ['pipe', 'pipe', 'pipe'])
    const zygote = new Zygote(child)
    relayLog(child, options.onLog)
    return new Promise((resolve, reject) => {
      let late = ''
      const timer = setTimeout(() => {
        late = `, being not ready within ${startDeadlineMs / 1000} s`
        child.kill('SIGKILL')
      }, startDeadlineMs)
      const fail = (why: string, signal?: NodeJS.Signals | null) => {
        clearTimeout(timer)
        zygote.#onEnd(why, onExit)
        const details = late === '' && signal ? { signal } : {}
        reject(new HoldfastError('HF_SHIM_LOST', why, { details, hint: zygoteHint }))
      }
      child.once('error', (error) => fail(`the zygote could not be started: ${error.message}`))
      child.once('exit', (code, signal) => fail(`the zygote ended (${signal ?? code})${late}`, signal))
      child.stdin?.on('error', () => {}) // EPIPE of a zygote that just died: 'exit' tells
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const message = JSON.parse(line) as { ready?: true; id: number; pid: number; error?: string }
        if (!message.ready) return zygote.#onAnswer(message)
        clearTimeout(timer)
        resolve(zygote)
      })
    })
  }

  fork(options: ForkOptions): Promise<{ pid: number }> {
    if (!this.alive)
      return Promise.reject(new HoldfastError('HF_SHIM_LOST', 'the zygote is gone', { hint: zygoteHint }))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject })
      this.#child.stdin?.write(
        JSON.stringify({ id, dir: options.dir, create: options.create === true }) + '\n',
      )
    })
  }

  end(): void {
    this.#child.stdin?.end()
  }

  #onAnswer({ id, pid, error }: { id: number; pid: number; error?: string }): void {
    const open = this.#open.get(id)
    this.#open.delete(id)
    if (error === undefined) open?.resolve({ pid })
    else open?.reject(new HoldfastError('HF_SHIM_LOST', `the zygote could not fork: ${error}`))
  }

  #onEnd(why: string, onExit: () => void): void {
    if (!this.alive) return
    this.alive = false
    this.#setEnded()
    for (const open of this.#open.values())
      open.reject(new HoldfastError('HF_SHIM_LOST', why, { hint: zygoteHint }))
    this.#open.clear()
    onExit()
  }
}

/** The fallback where forking is impossible: the same shim in a Node process of its own, in a session of its own. */
async function startPlainShim(fork: ForkOptions, options: ZygoteOptions): Promise<{ pid: number }> {
  const args = ['--dir', fork.dir, ...(fork.create ? ['--create'] : []), ...seccompCacheFlag(options)]
  const child = spawnNode('main', args, options, ['ignore', 'ignore', 'ignore'])
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) =>
      reject(new HoldfastError('HF_SHIM_LOST', `a shim could not be started: ${error.message}`)),
    )
  })
  child.unref()
  return { pid: child.pid! }
}

function seccompCacheFlag({ seccompCache }: ZygoteOptions): string[] {
  return seccompCache === undefined ? [] : [`--seccomp-cache=${seccompCache}`]
}

/**
 * Node with a literal environment and absolute paths: NODE_OPTIONS would run code in every shim, and
 * NODE_EXTRA_CA_CERTS costs each of them 40 ms. The first two flags keep V8 to one thread, without which a forked
 * child hangs in its garbage collector.
 */
function spawnNode(
  program: 'zygote' | 'main',
  args: string[],
  options: ZygoteOptions,
  stdio: ('pipe' | 'ignore')[],
): ChildProcess {
  const script = programFile(fileURLToPath(import.meta.resolve(`@holdfast/shim/${program}`)))
  const flags = [
    '--v8-pool-size=0',
    '--single-threaded',
    `--max-old-space-size=${options.heapMiB ?? 48}`,
    ...leanFlags,
    '--max-semi-space-size=1',
    '--disable-sigusr1',
    '--disable-warning=ExperimentalWarning',
    ...(script.endsWith('.ts') ? ['--conditions=@holdfast/source'] : []),
  ]
  return spawn(process.execPath, [...flags, script, ...args], {
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
    stdio,
    detached: true,
  })
}

/**
 * A shim runs each function but a few times, and a page that it writes to is its own from then on. All code is compiled
 * before the fork, and kept. What V8 notes down for its optimizers, at each call of a function that has feedback, is put
 * off until a function has run 20000 times (the log's pump soon has). And it must not collect garbage early, or because
 * little happens: a full collection writes to every page. Nor in steps, of which a fork could inherit the half. One in
 * which execs follow each other collects what is young between them.
 */
const leanFlags = [
  '--no-lazy',
  '--no-flush-bytecode',
  '--invocation-count-for-feedback-allocation=20000',
  '--no-memory-reducer',
  '--heap-growing-percent=100',
  '--no-incremental-marking',
  '--expose-gc',
]

function relayLog(child: ChildProcess, onLog: ((line: string) => void) | undefined): void {
  const lines = createInterface({ input: child.stderr! })
  lines.on('line', (line) => onLog?.(line))
}
