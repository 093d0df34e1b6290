/** Processes that were added to the running container. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { ExecSpec, ExecState, ExitRecord } from '@holdfast/protocol'
import { abandonResult } from './abandon-launch.ts'
import { adoptContainer } from './adopt.ts'
import { readBundle, type Bundle } from './bundle.ts'
import { nowRfc3339 } from './clock.ts'
import { ContainedProcess, notRunning, type LiveProcess } from './contained-process.ts'
import type { Container } from './container.ts'
import {
  execRecordName,
  readExecs,
  removeExec,
  writeExec,
  writeExecEnd,
  type ExecEntry,
} from './exec-files.ts'
import { execJob, type ExecJob } from './exec-launch.ts'
import { execRefusal } from './exec-refusal.ts'
import { launchedProcess, type LaunchResult } from './launch-result.ts'
import { NoLog } from './log-writer.ts'
import { PreparedExec } from './prepared-exec.ts'
import type { ShimContext } from './shim-context.ts'
import { SpareLauncher } from './spare-launcher.ts'

/** An exec that comes so soon after another is launched by the shim itself: see `#launchJob`. */
const soonMs = 2_000

/** How long after the end of one the launcher for the next is started: its client is done by then. */
const restMs = 5

/** What has ended is remembered up to this number: a supervisor that was away asks for it. */
const maxRemembered = 32

interface Exec {
  entry: ExecEntry
  process: ContainedProcess
}

export class Execs {
  readonly #context: ShimContext
  readonly #container: Container
  readonly #execs = new Map<string, Exec>()
  readonly #prepared: PreparedExec
  readonly #spare: SpareLauncher
  #lastLaunch = -soonMs
  /** The container's configuration, once this shim has launched by itself. */
  #bundle: Bundle | undefined
  /** What the last exec was to be, if it followed another. */
  #next: ExecSpec | undefined

  constructor(context: ShimContext, container: Container) {
    this.#context = context
    this.#container = container
    const fail = (error: Error): void => context.fail(error)
    this.#prepared = new PreparedExec(fail)
    this.#spare = new SpareLauncher(soonMs, fail)
  }

  /**
   * Launches it up to its door, where that has nothing to report but errors, which are for `start` to say. `over` resolves
   * when it waits no longer.
   */
  async prepare(id: string, spec: ExecSpec): Promise<{ over: Promise<void> }> {
    this.#container.check('exec.prepare')
    if (spec.tty || this.#prepared.busy || this.#execs.has(id)) return { over: Promise.resolve() }
    const result = await this.#launchJob({ ...this.#job(id, spec), unasked: true })
    return { over: this.#prepared.keep(id, spec, { result, record: this.#recordPath(id) }) }
  }

  /** Nothing waits any more that was not started: it would be frozen with the container, or keep its cgroup. */
  async dropAhead(): Promise<void> {
    this.#next = undefined
    await Promise.all([this.#prepared.drop(), this.#spare.drop()])
  }

  /**
   * Returns its pid once the program runs. `attach` is called before anything is started. Throws HF_COMMAND_NOT_FOUND or
   * HF_COMMAND_NOT_EXECUTABLE; the exec has then ended with 127 or 126.
   */
  async start(id: string, spec: ExecSpec, attach: (process: ContainedProcess) => void): Promise<number> {
    this.#container.check('exec.start')
    if (this.#execs.has(id)) {
      throw new HoldfastError('HF_BAD_REQUEST', `exec ${id} exists`, { details: { field: 'execId' } })
    }
    const exec = newExec({ id, stdin: spec.stdin })
    attach(exec.process)
    this.#forgetOldest()
    this.#execs.set(id, exec)
    try {
      return await this.#launch(exec, spec)
    } catch (error) {
      exec.process.abandon()
      exec.entry.exit ??= {
        exitCode: exitCodeOf(error),
        signal: null,
        oomKilled: false,
        finishedAt: nowRfc3339(),
      }
      throw error
    }
  }

  /** Throws HF_EXEC_NOT_FOUND. */
  get(id: string): Exec {
    const exec = this.#execs.get(id)
    if (!exec) throw new HoldfastError('HF_EXEC_NOT_FOUND', `no exec has the id ${id}`)
    return exec
  }

  state(id: string): ExecState {
    const { entry, process } = this.get(id)
    const running = entry.exit === undefined
    return { id, pid: running && process.pid > 0 ? process.pid : null, running, exit: entry.exit ?? null }
  }

  states(): ExecState[] {
    return [...this.#execs.keys()].map((id) => this.state(id))
  }

  /** Goes on with what an earlier shim had. */
  adopt(): void {
    for (const entry of readExecs(this.#context.dir)) {
      const exec = newExec(entry)
      this.#execs.set(entry.id, exec)
      if (entry.exit) exec.process.abandon()
      if (!entry.adoption || entry.exit) continue
      const { init, keeper, taken } = adoptContainer(entry.adoption)
      void this.#follow(exec, { init, keeper, fds: taken, console: taken['console'] })
    }
  }

  async #launch(exec: Exec, execSpec: ExecSpec): Promise<number> {
    const { id } = exec.entry
    const result =
      (await this.#prepared.take(id, execSpec)) ?? (await this.#launchJob(this.#job(id, execSpec)))
    const { record, warnings } = result.facts
    for (const warning of warnings) this.#context.log('warn', warning)
    const { behind: _onceStarted, ...adoption } = record
    exec.entry.adoption = adoption
    try {
      writeExec(this.#context.dir, exec.entry)
    } catch (error) {
      await abandonResult(result, this.#recordPath(id))
      throw error
    }
    const { door, ...live } = launchedProcess(result)
    const started = door.open()
    const ended = this.#follow(exec, live, started)
    try {
      await started
    } catch (error) {
      await ended
      throw execRefusal(error, execSpec.cwd)
    }
    return record.initPid
  }

  #job(execId: string, exec: ExecSpec): ExecJob {
    const { adoption, held, process: own } = this.#container
    if (!adoption || held.root === undefined || !own.handle) throw notRunning()
    const { dir, spec } = this.#context
    return { dir, spec, execId, exec, container: adoption, init: own.handle.pidfd, root: held.root }
  }

  /**
   * The launch worker is a detour that keeps the shim small: half of what an exec costs, for one exec now and then. Where
   * they follow each other the shim has its own copies of the pages by the second one.
   */
  async #launchJob(job: ExecJob): Promise<LaunchResult> {
    const now = performance.now()
    const soon = now - this.#lastLaunch < soonMs
    this.#lastLaunch = now
    this.#next = soon ? job.exec : undefined
    if (!soon) return this.#context.launcher.exec(job)
    this.#bundle ??= readBundle(job.dir, job.spec)
    return (await this.#spare.launch(job)) ?? execJob(job, { bundle: this.#bundle })
  }

  /** Another that is like the last one is to find its launcher waiting. */
  #makeSpare(): void {
    if (this.#next === undefined || this.#bundle === undefined || this.#container.status !== 'running') return
    try {
      this.#spare.make(this.#job('spare', this.#next), this.#bundle)
    } catch (error) {
      this.#context.fail(error as Error)
    }
  }

  /** `started`: resolves once the program runs; its events come in order even where it has ended by then. */
  #follow(exec: Exec, live: Omit<LiveProcess, 'recordPath'>, started?: Promise<void>): Promise<void> {
    const execId = exec.entry.id
    const pid = live.init?.pid
    const announced = started?.then(
      () => pid !== undefined && this.#context.emit({ event: 'exec-started', execId, pid }),
      () => {}, // `start` throws it
    )
    const recordPath = this.#recordPath(execId)
    const ended = exec.process.follow({ ...live, recordPath }).then(async (record) => {
      await announced
      this.#onEnd(exec, { ...record, oomKilled: false })
    })
    ended.catch((error: Error) => this.#context.fail(error))
    return ended
  }

  #onEnd(exec: Exec, exit: ExitRecord): void {
    const { id } = exec.entry
    exec.entry.exit = exit
    delete exec.entry.adoption
    try {
      writeExecEnd(this.#context.dir, id, exit)
    } catch (error) {
      this.#context.fail(error as Error) // whoever waits for the end must hear of it
    }
    this.#context.emit({ event: 'exec-exited', execId: id, exit })
    exec.process.output.goodbye()
    setTimeout(() => this.#makeSpare(), restMs).unref()
  }

  #recordPath(id: string): string {
    return `${this.#context.dir}/${execRecordName(id)}`
  }

  #forgetOldest(): void {
    const ended = [...this.#execs.values()].filter(({ entry }) => entry.exit)
    for (const { entry } of ended.slice(0, Math.max(0, ended.length - maxRemembered + 1))) {
      this.#execs.delete(entry.id)
      removeExec(this.#context.dir, entry.id)
    }
  }
}

function newExec(entry: ExecEntry): Exec {
  // Whoever reads the output of an exec waits for its exit code: one message less wakes nobody twice.
  const options = { maxFile: 1, stdin: entry.stdin, stdinOnce: true, lateGoodbye: true }
  return { entry, process: new ContainedProcess(new NoLog(), options) }
}

/** What a shell says of a command that isn't there, and of one that can't be run. */
function exitCodeOf(error: unknown): number {
  return hasCode(error, 'HF_COMMAND_NOT_FOUND') ? 127 : 126
}
