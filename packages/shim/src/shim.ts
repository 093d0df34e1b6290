/**
 * One shim: owns a directory, makes its container run, answers on its socket, and can be killed at any moment. State
 * and promises are in docs/protocol.md.
 */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { HoldfastError } from '@holdfast/errors'
import { bootId, closeFd, flock, Mutex } from '@holdfast/core'
import type { LogSpec, ShimEvent, ShimSpec, ShimState } from '@holdfast/protocol'
import { deletedLockMode, isDeletedLock } from '@holdfast/protocol'
import { readShimSpec } from './bundle.ts'
import { nowRfc3339 } from './clock.ts'
import { ContainedProcess } from './contained-process.ts'
import { Container } from './container.ts'
import { Control, type Handlers } from './control.ts'
import { Execs } from './exec/exec.ts'
import { JsonLog, NoLog, type OutputLog } from './log/log-writer.ts'
import type { Launcher } from './worker/launcher.ts'
import { NetworkServices } from './network/network-services.ts'
import { keepersReaped } from './launch/process-end.ts'
import { checkSocketPath, serve, type ShimServer } from './server.ts'
import type { ShimContext } from './shim-context.ts'
import { sleep } from './sleep.ts'
import { readExitRecord, readState, writeState } from './state-file.ts'

/** How long a connection may take to close when the shim goes. */
const goodbyeMs = 10_000

/**
 * How long a client that reads what is left may take nothing: somebody may be looking at a page of it. Nothing waits
 * for the shim meanwhile, whose container has long been taken down.
 */
const patienceMs = 3_600_000

export interface ShimOptions {
  dir: string
  /** Begin `create` before anyone asks. */
  create: boolean
  launcher: Launcher
  /** After `delete` was answered and every client has gone. */
  onLeave: () => void
}

const lockRetryMs = 5
const lockPatienceMs = 1_000

/** Resolves when it listens. Throws HF_SHIM_LOST where another shim has the directory. */
export async function startShim({ dir, create, launcher, onLeave }: ShimOptions): Promise<Shim> {
  checkSocketPath(`${dir}/shim.sock`)
  const lock = await lockDirectory(dir)
  const shim = new Shim({ dir, lock, launcher, onLeave })
  // First: who connects while a create is begun waits in the backlog, and need not look for the socket again.
  const listening = shim.listen()
  shim.resumeOrBegin(create)
  await listening
  return shim
}

/** A shim that was killed lets go of its lock some moments after its connections have broken. */
async function lockDirectory(dir: string): Promise<number> {
  const path = `${dir}/shim.lock`
  const lock = openSync(path, 'a', 0o600)
  try {
    for (let tries = 0; !flock(lock, 'exclusive'); tries++) {
      if (tries * lockRetryMs >= lockPatienceMs)
        throw new HoldfastError('HF_SHIM_LOST', `${dir} has a shim already`)
      await sleep(lockRetryMs)
    }
    const { mode, nlink } = fstatSync(lock)
    if (!isDeletedLock(mode) && nlink > 0) return lock
    throw new HoldfastError('HF_SHIM_LOST', `the container of ${dir} was deleted`)
  } catch (error) {
    closeSync(lock)
    throw error
  }
}

export class Shim implements ShimContext {
  readonly dir: string
  readonly spec: ShimSpec
  readonly launcher: Launcher
  readonly lock: number
  readonly #onLeave: () => void
  /** create, start, pause, resume, exec.start and delete exclude each other. */
  readonly #mutex = new Mutex()
  readonly #log: OutputLog
  readonly #container: Container
  readonly #execs: Execs
  readonly #services: NetworkServices
  readonly #control: Control
  #created: Promise<void> | undefined
  #server: ShimServer | undefined

  constructor({ dir, lock, launcher, onLeave }: Omit<ShimOptions, 'create'> & { lock: number }) {
    const spec = readShimSpec(dir)
    this.dir = dir
    this.spec = spec
    this.lock = lock
    this.launcher = launcher
    this.#onLeave = onLeave
    this.#log = openLog(dir, spec.log, (message) => this.log('warn', message))
    const maxFile = spec.log.driver === 'json-file' ? spec.log.maxFile : 1
    const { open: stdin, once: stdinOnce } = spec.stdin
    const process = new ContainedProcess(this.#log, { maxFile, stdin, stdinOnce })
    this.#container = new Container(this, process)
    this.#execs = new Execs(this, this.#container)
    this.#services = new NetworkServices(this, this.#container)
    this.#control = new Control(this.#handlers(), (method) => {
      if (method === 'delete') void this.#leave()
    })
  }

  resumeOrBegin(create: boolean): void {
    const state = readState(this.dir)
    if (state?.adoption && state.bootId === bootId()) {
      const { exit, status } = state
      if (status === 'stopped' && exit) {
        this.#container.restoreEnded(state.startedAt, exit, state.adoption)
      } else {
        this.#container.adopt(status, state.startedAt, state.adoption)
        this.#services.reopen().catch(this.fail)
      }
      this.#execs.adopt()
      return
    }
    if (state && state.status !== 'creating') {
      // After a reboot nothing of it is left but what its keeper wrote.
      const exit = state.exit ?? readExitRecord(`${this.dir}/exit.json`)
      this.#container.restoreEnded(state.startedAt, {
        exitCode: null,
        signal: null,
        finishedAt: nowRfc3339(),
        oomKilled: false,
        ...exit,
      })
      return
    }
    // Its directory is the first thing that a create makes: here is one that was killed before it had a state.
    if (!state && existsSync(`${this.dir}/stage`))
      this.#mutex.run(() => this.#container.clearLeftovers()).catch(this.fail)
    if (create) this.#create().catch(() => {}) // the `create` request is answered by it
  }

  async listen(): Promise<void> {
    this.#server = await serve(`${this.dir}/shim.sock`, this.spec.token, (socket, wire) =>
      this.#control.accept(socket, wire),
    )
  }

  save(): void {
    const { status, startedAt, adoption, exit } = this.#container
    writeState(this.dir, {
      status,
      bootId: bootId(),
      startedAt,
      ...(adoption && { adoption }),
      ...(exit && { exit }),
    })
  }

  emit(event: ShimEvent): number {
    if (event.event === 'exited') this.#services.close()
    return this.#control.broadcast(event)
  }

  flush(): void {
    this.#control.flush()
  }

  log(level: 'info' | 'warn' | 'error', message: string): void {
    writeSync(2, JSON.stringify({ time: nowRfc3339(), level, shim: this.spec.name, message }) + '\n')
  }

  readonly fail = (error: Error): void => this.log('error', error.stack ?? error.message)

  #handlers(): Handlers {
    const container = this.#container
    const execs = this.#execs
    const locked = <T>(task: () => Promise<T>) => this.#mutex.run(task)
    return {
      create: async () => {
        await this.#create()
        return this.#state()
      },
      start: () => locked(async () => ({ startedAt: await container.start() })),
      kill: async ({ signal, all }) => (await container.kill(signal, all === true), {}),
      pause: () =>
        locked(async () => {
          await execs.dropAhead()
          await container.pause()
          return {}
        }),
      resume: () => locked(async () => (await container.resume(), {})),
      resize: async ({ rows, columns }) => {
        container.check('resize')
        container.process.resize(rows, columns)
        return {}
      },
      state: async () => this.#state(),
      processes: async () => ({ pids: container.processes() }),
      attach: async ({ channel, logs, ...wanted }, channels) => {
        container.process.attach(channels.open(channel), wanted, { logs })
        return {}
      },
      'exec.prepare': async ({ execId, spec }) => {
        const { over } = await locked(() => execs.prepare(execId, spec))
        await over
        return {}
      },
      'exec.start': async ({ execId, spec, attach }, channels) => {
        const client =
          attach &&
          ((process: ContainedProcess) =>
            process.attach(channels.open(attach.channel), attach, { logs: false }))
        const { running } = await locked(() => execs.start(execId, spec, client))
        return { pid: await running }
      },
      'exec.resize': async ({ execId, rows, columns }) => (
        execs.get(execId).process.resize(rows, columns),
        {}
      ),
      'exec.kill': async ({ execId, signal }) => (execs.get(execId).process.kill(signal), {}),
      'exec.state': async ({ execId }) => execs.state(execId),
      ...this.#services.handlers(),
      delete: ({ force }) => locked(async () => (await this.#delete(force), {})),
    }
  }

  /** Once: whoever asks again, or after it was begun early, gets the same result. */
  #create(): Promise<void> {
    return (this.#created ??= this.#mutex.run(() => this.#container.create()))
  }

  #state(): ShimState {
    const { status, startedAt, exit, process: own } = this.#container
    return {
      id: this.spec.id,
      shimPid: process.pid,
      status,
      pid: own.pid,
      keeperPid: own.keeper?.pid ?? 0,
      startedAt,
      exit: exit ?? null,
      namespaces: this.#container.namespaces(),
      execs: this.#execs.states(),
      log: { dropped: this.#log.dropped },
    }
  }

  async #delete(force: boolean): Promise<void> {
    await this.#execs.dropAhead()
    await this.#container.delete(force)
    this.#services.close()
    this.#container.process.abandon()
    this.#log.close()
    // Whoever is connected stays so; the name goes now, since the directory may once this is answered.
    for (const name of readdirSync(this.dir)) {
      if (ownFile.test(name)) rmSync(`${this.dir}/${name}`, { recursive: true, force: true })
    }
    fchmodSync(this.lock, deletedLockMode)
  }

  /**
   * After `delete` was answered: clients get what there is for them, however slowly they read it, and the process ends.
   * The socket goes first: its name is the next shim's as soon as the root's layers are free for another mount.
   */
  async #leave(): Promise<void> {
    await this.#container.unmounted
    await Promise.race([keepersReaped(), sleep(goodbyeMs, { ref: false })])
    this.#server?.stopListening()
    this.emit({ event: 'unmounted' })
    await this.#control.close(patienceMs)
    await this.#server?.close(goodbyeMs)
    closeFd(this.lock)
    this.#onLeave()
  }
}

/** What a shim makes in its directory, and removes; config.json and shim.json are the supervisor's. */
const ownFile =
  /^(\.?state\.json(\.new)?|exit\.json|\.?exec-.*\.json(\.new)?|(stdout|stderr)\.journal|log\.checkpoint|\.?(dns|relays)\.json(\.new)?|stage|shim\.sock)$/

function openLog(dir: string, spec: LogSpec, warn: (message: string) => void): OutputLog {
  return spec.driver === 'none' ? new NoLog() : new JsonLog(dir, spec, warn)
}
