/** Processes that were added to the running container. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { ExecSpec, ExecState, ExitRecord } from '@holdfast/protocol'
import { abandonResult } from '../launch/abandon-launch.ts'
import { adoptExec } from '../launch/adopt.ts'
import { readBundle, type Bundle } from '../bundle.ts'
import { nowRfc3339 } from '../clock.ts'
import { ContainedProcess, notRunning, type LiveProcess } from '../contained-process.ts'
import type { Container } from '../container.ts'
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
import { FirstLook } from './first-look.ts'
import { launchedProcess, type LaunchResult } from '../launch/launch-result.ts'
import { NoLog } from '../log/log-writer.ts'
import { PreparedExec } from './prepared-exec.ts'
import type { ShimContext } from '../shim-context.ts'
import { SpareLauncher } from './spare-launcher.ts'
import { closeAll } from '../stdio/stdio.ts'

/** An exec that comes so soon after another is launched by the shim itself: see `#launchJob`. */
const soonMs = 10_000

/** How long after the end of one the launcher for the next is started: its client is done by then. */
const restMs = 5

/** Of those that follow each other: what is young is collected after so many. */
const execsPerCollection = 4

/** What has ended is remembered up to this number: a supervisor that was away asks for it. */
const maxRemembered = 32

type Attach = (process: ContainedProcess) => void

type Launched = ReturnType<typeof launchedProcess>

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
  /** How many have followed another. */
  #followed = 0
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
   * Launches it up to its door, where that has nothing to report but errors, which are for `start` to say. Of one that is not
   * known yet it is assumed that it is like the last, where a launcher waits for such a one. `over` resolves when it waits no
   * longer.
   */
  async prepare(id: string, known: ExecSpec | undefined): Promise<{ over: Promise<void> }> {
    this.#container.check('exec.prepare')
    const spec = known ?? (this.#spare.waits ? this.#next : undefined)
    if (spec === undefined || spec.tty || this.#prepared.busy || this.#execs.has(id))
      return { over: Promise.resolve() }
    const result = await this.#launchJob({ ...this.#job(id, spec), unasked: true })
    const discard = (): Promise<void> => this.#discard(id, result)
    try {
      writeExec(this.#context.dir, { ...entryOf(id, spec, result), prepared: true })
    } catch (error) {
      await discard()
      throw error
    }
    const redirect = (wanted: ExecSpec): boolean => this.#spare.redirect(result, this.#job(id, wanted))
    return { over: this.#prepared.keep(id, spec, { result, redirect, discard }) }
  }

  /** Nothing waits any more that was not started: it would be frozen with the container, or keep its cgroup. */
  async dropAhead(): Promise<void> {
    this.#next = undefined
    await Promise.all([this.#prepared.drop(), this.#spare.drop()])
  }

  /**
   * Returns when its door is open; `running`: its pid once the program runs. `attach` is called before anything is read of
   * its output. Both throw, HF_COMMAND_NOT_FOUND or HF_COMMAND_NOT_EXECUTABLE mostly; the exec has then ended with 127 or 126.
   */
  async start(id: string, spec: ExecSpec, attach?: Attach): Promise<{ running: Promise<number> }> {
    this.#container.check('exec.start')
    if (this.#execs.has(id)) {
      throw new HoldfastError('HF_BAD_REQUEST', `exec ${id} exists`, { details: { field: 'execId' } })
    }
    const prepared = await this.#startPrepared(id, spec)
    let exec: Exec
    try {
      exec = this.#add(entryOf(id, spec, prepared?.result), attach)
    } catch (error) {
      if (prepared !== undefined) await this.#discard(id, prepared.result)
      throw error
    }
    try {
      const launched = prepared?.launched ?? (await this.#launch(exec, spec))
      const { pid } = launched.init
      const started = this.#open(exec, launched, isLookedAtOnce(spec, attach) ? new FirstLook() : undefined)
      const running = started.then(
        () => pid,
        (error) => failed(exec, execRefusal(error, spec.cwd)),
      )
      if (prepared !== undefined) setImmediate(() => this.#writeStarted(exec))
      return { running }
    } catch (error) {
      return failed(exec, error)
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
      const adopted = entry.adoption && !entry.exit ? adoptExec(entry.adoption) : undefined
      if (adopted && entry.prepared && !adopted.entrusted) {
        const { init, keeper, taken } = adopted
        closeAll({ init: init?.pidfd, keeper: keeper?.pidfd, ...taken })
        removeExec(this.#context.dir, entry.id)
        continue
      }
      const exec = this.#add(entry)
      if (entry.exit) exec.process.abandon()
      if (adopted === undefined) continue
      const { init, keeper, taken } = adopted
      void this.#follow(exec, { init, keeper, fds: taken, console: taken['console'] })
    }
  }

  #add(entry: ExecEntry, attach?: Attach): Exec {
    const exec = newExec(entry)
    attach?.(exec.process)
    this.#execs.set(entry.id, exec)
    return exec
  }

  /**
   * One that waits at its door goes on before anything else is done. Undefined where there is none; where somebody has killed
   * a part of it, or it has failed on its way, launching it anew says what is wrong.
   */
  async #startPrepared(
    id: string,
    spec: ExecSpec,
  ): Promise<{ launched: Launched; result: LaunchResult } | undefined> {
    const result = await this.#prepared.take(id, spec)
    if (result === undefined) return undefined
    const launched = launchedProcess(result)
    try {
      if (launched.door.entrust() && launched.door.unlock()) return { launched, result }
    } catch (error) {
      await this.#discard(id, result)
      throw error
    }
    await this.#discard(id, result)
    return undefined
  }

  /** Through its door, once what a later shim must know of it is written down. */
  async #launch(exec: Exec, execSpec: ExecSpec): Promise<Launched> {
    const { id } = exec.entry
    const result = await this.#launchJob(this.#job(id, execSpec))
    exec.entry = entryOf(id, execSpec, result)
    const launched = launchedProcess(result)
    try {
      writeExec(this.#context.dir, exec.entry)
      launched.door.unlock()
      return launched
    } catch (error) {
      await abandonResult(result, this.#recordPath(id))
      throw error
    }
  }

  /** Nothing is left of what was launched. */
  async #discard(id: string, result: LaunchResult): Promise<void> {
    await abandonResult(result, this.#recordPath(id))
    removeExec(this.#context.dir, id)
  }

  /** Resolves when the program runs. Where it throws the exec has ended. */
  async #open(exec: Exec, { door, ...live }: Launched, firstLook: FirstLook | undefined): Promise<void> {
    const started = door.opened(firstLook?.due)
    const ended = this.#follow(exec, { ...live, firstLook }, started)
    try {
      await started
    } catch (error) {
      await ended
      throw error
    }
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
    const result = soon ? await this.#launchHere(job) : await this.#context.launcher.exec(job)
    for (const warning of result.facts.warnings) this.#context.log('warn', warning)
    return result
  }

  async #launchHere(job: ExecJob): Promise<LaunchResult> {
    this.#bundle ??= readBundle(job.dir, job.spec)
    return (await this.#spare.launch(job)) ?? execJob(job, { bundle: this.#bundle })
  }

  /** Once the client of the last one is done. */
  #tidy(): void {
    this.#forgetOldest()
    this.#makeSpare()
    if (this.#next === undefined || ++this.#followed % execsPerCollection > 0) return
    // A program waits for one that V8 begins by itself: milliseconds, after every sixth exec or so.
    globalThis.gc?.({ type: 'minor', execution: 'sync' })
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

  /** `started`: resolves once the program runs; its end is told after that, also where it has come by then. */
  #follow(
    exec: Exec,
    { firstLook, ...live }: Omit<LiveProcess, 'recordPath'> & { firstLook?: FirstLook | undefined },
    started?: Promise<void>,
  ): Promise<void> {
    const execId = exec.entry.id
    const answered = started?.catch(() => {}) // `start` throws it
    const recordPath = this.#recordPath(execId)
    const ended = exec.process.follow({ ...live, recordPath }, { firstLook }).then(async (record) => {
      await answered
      this.#onEnd(exec, { ...record, oomKilled: false })
    })
    ended.catch((error: Error) => this.#context.fail(error))
    return ended
  }

  #onEnd(exec: Exec, exit: ExitRecord): void {
    const { id } = exec.entry
    exec.entry.exit = exit
    delete exec.entry.adoption
    if (!exec.process.keeperTold) this.#writeEnd(id, exit)
    this.#context.emit({ event: 'exec-exited', execId: id, exit })
    exec.process.output.goodbye()
    this.#context.flush() // the client waits for this, and for nothing that comes after it
    if (exec.process.keeperTold) setImmediate(() => this.#writeEnd(id, exit))
    setTimeout(() => this.#tidy(), restMs).unref()
  }

  /** Of one that was prepared the file says the same but for that. */
  #writeStarted({ entry }: Exec): void {
    if (entry.exit !== undefined) return
    try {
      writeExec(this.#context.dir, entry)
    } catch (error) {
      this.#context.fail(error as Error)
    }
  }

  /** Whoever waits for the end hears of it all the same. */
  #writeEnd(id: string, exit: ExitRecord): void {
    try {
      writeExecEnd(this.#context.dir, id, exit)
    } catch (error) {
      this.#context.fail(error as Error)
    }
  }

  #recordPath(id: string): string {
    return `${this.#context.dir}/${execRecordName(id)}`
  }

  #forgetOldest(): void {
    const ended = [...this.#execs.values()].filter(({ entry }) => entry.exit)
    for (const { entry } of ended.slice(0, Math.max(0, ended.length - maxRemembered))) {
      this.#execs.delete(entry.id)
      removeExec(this.#context.dir, entry.id)
    }
  }
}

function entryOf(id: string, { stdin }: ExecSpec, result?: LaunchResult): ExecEntry {
  if (result === undefined) return { id, stdin }
  const { behind: _onceStarted, ...adoption } = result.facts.record
  return { id, stdin, adoption }
}

function newExec(entry: ExecEntry): Exec {
  // Whoever reads the output of an exec waits for its exit code: one message less wakes nobody twice.
  const options = { maxFile: 1, stdin: entry.stdin, stdinOnce: true, lateGoodbye: true }
  return { entry, process: new ContainedProcess(new NoLog(), options) }
}

/** Who starts one to have its input taken, or without waiting for its end, is answered as soon as it runs. */
function isLookedAtOnce({ tty, stdin }: ExecSpec, attach: Attach | undefined): boolean {
  return attach !== undefined && !tty && !stdin
}

/** Whoever is attached is told that it will never run. Throws `error`. */
function failed({ entry, process }: Exec, error: unknown): never {
  process.abandon()
  entry.exit ??= {
    exitCode: exitCodeOf(error),
    signal: null,
    oomKilled: false,
    finishedAt: nowRfc3339(),
  }
  throw error
}

/** What a shell says of a command that isn't there, and of one that can't be run. */
function exitCodeOf(error: unknown): number {
  return hasCode(error, 'HF_COMMAND_NOT_FOUND') ? 127 : 126
}
