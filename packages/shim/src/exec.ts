/** Processes that were added to the running container. */
import { unlinkSync } from 'node:fs'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { ExecSpec, ExecState, ExitRecord } from '@holdfast/protocol'
import { adoptContainer } from './adopt.ts'
import { readBundle, type Bundle } from './bundle.ts'
import { nowRfc3339 } from './clock.ts'
import { ContainedProcess, notRunning, type LiveProcess } from './contained-process.ts'
import type { Container } from './container.ts'
import { execRefusal } from './exec-refusal.ts'
import { LaunchAhead } from './launch-ahead.ts'
import { launchedProcess, type LaunchResult } from './launch-result.ts'
import { execJob, execRecordName, type ExecJob } from './launches.ts'
import { NoLog } from './log-writer.ts'
import type { ShimContext } from './shim-context.ts'
import type { ExecEntry } from './state-file.ts'

/** An exec that comes so soon after another is launched by the shim itself: see `#launchJob`. */
const soonMs = 1_000

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
  readonly #ahead: LaunchAhead
  #lastLaunch = -soonMs
  /** The container's configuration, once this shim has launched by itself. */
  #bundle: Bundle | undefined

  constructor(context: ShimContext, container: Container) {
    this.#context = context
    this.#container = container
    this.#ahead = new LaunchAhead(context.fail)
  }

  /**
   * Launches it up to its door, where that has nothing to report but errors, which are for `start` to say. `over` resolves
   * when it waits no longer.
   */
  async prepare(id: string, spec: ExecSpec): Promise<{ over: Promise<void> }> {
    this.#container.check('exec.prepare')
    if (spec.tty || this.#ahead.busy || this.#execs.has(id)) return { over: Promise.resolve() }
    const result = await this.#launchJob(this.#job(id, spec))
    return { over: this.#ahead.keep(id, spec, { result, record: this.#recordPath(id) }) }
  }

  /** Nothing waits any more that was not started: it would be frozen with the container, or keep its cgroup. */
  dropPrepared(): Promise<void> {
    return this.#ahead.drop()
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
      this.#context.save()
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

  /** For the state file. What is being launched has nothing yet that a later shim could take over. */
  entries(): ExecEntry[] {
    const all = [...this.#execs.values()].map(({ entry }) => entry)
    return all.filter(({ adoption, exit }) => adoption !== undefined || exit !== undefined)
  }

  /** Goes on with what an earlier shim had. */
  adopt(entries: ExecEntry[]): void {
    for (const entry of entries) {
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
    const result = (await this.#ahead.take(id, execSpec)) ?? (await this.#launchJob(this.#job(id, execSpec)))
    const { record, warnings } = result.facts
    for (const warning of warnings) this.#context.log('warn', warning)
    exec.entry.adoption = record
    this.#context.save()
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
  #launchJob(job: ExecJob): Promise<LaunchResult> {
    const now = performance.now()
    const soon = now - this.#lastLaunch < soonMs
    this.#lastLaunch = now
    if (!soon) return this.#context.launcher.exec(job)
    this.#bundle ??= readBundle(job.dir, job.spec)
    return execJob(job, { bundle: this.#bundle })
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
      await this.#onEnd(exec, { ...record, oomKilled: false })
    })
    ended.catch((error: Error) => this.#context.fail(error))
    return ended
  }

  async #onEnd(exec: Exec, exit: ExitRecord): Promise<void> {
    const { id } = exec.entry
    exec.entry.exit = exit
    delete exec.entry.adoption
    this.#context.emit({ event: 'exec-exited', execId: id, exit })
    exec.process.output.goodbye()
    // Once that is out: those who waited go on meanwhile. A shim that takes over before it is done finds the keeper's
    // record, and tells them again.
    await new Promise(setImmediate)
    this.#context.save()
    removeRecord(this.#recordPath(id))
  }

  #recordPath(id: string): string {
    return `${this.#context.dir}/${execRecordName(id)}`
  }

  #forgetOldest(): void {
    const ended = [...this.#execs.values()].filter(({ entry }) => entry.exit)
    for (const { entry } of ended.slice(0, Math.max(0, ended.length - maxRemembered + 1)))
      this.#execs.delete(entry.id)
  }
}

function removeRecord(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
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
