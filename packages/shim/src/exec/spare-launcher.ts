/**
 * A launcher that is started ahead, where execs follow each other: for one that differs from the last in nothing but
 * its program, arguments and environment. It was given everything else, and has done nothing yet. The exec that comes has
 * it begin at once, and tells it the rest at its door.
 */
import type { TableWriter } from '@holdfast/core'
import { programStep, type ExecPlan, type OciProcess, type Step } from '@holdfast/plan'
import type { ExecSpec } from '@holdfast/protocol'
import type { Bundle } from '../bundle.ts'
import { execRecordName } from './exec-files.ts'
import { execOptions, execResult, execStdio, planJob, type ExecJob } from './exec-launch.ts'
import { likeProcess } from './exec-process.ts'
import { beginExec, reportsErrorsAlone, untilAtDoor, type BegunExec } from '../launch/executor.ts'
import type { LaunchResult } from '../launch/launch-result.ts'
import { encodeProgram } from '../launch/launching.ts'
import { closeAll, type Stdio } from '../stdio/stdio.ts'

/** What all execs of a kind have in common. */
interface Kind {
  key: string
  bundle: Bundle
  process: OciProcess
  plan: ExecPlan
  /** All steps but the last, once a launcher was given them. */
  encoded?: TableWriter | undefined
}

interface Spare {
  kind: Kind
  stdio: Stdio
  begun: BegunExec
  timer: NodeJS.Timeout
}

export class SpareLauncher {
  readonly #idleMs: number
  readonly #onError: (error: Error) => void
  #kind: Kind | undefined
  #spare: Spare | undefined

  /** `idleMs`: how long one waits. */
  constructor(idleMs: number, onError: (error: Error) => void) {
    this.#idleMs = idleMs
    this.#onError = onError
  }

  /** For one more exec like `job`, unless that is one that can't be: whose user is looked up, or has a terminal. */
  make(job: ExecJob, bundle: Bundle): void {
    const kind = this.#kindOf(job, bundle)
    if (kind === undefined || this.#spare !== undefined) return
    const { process, plan, encoded } = kind
    const stdio = execStdio(job, bundle, process)
    try {
      const steps = plan.steps.slice(0, -1)
      const begun = beginExec({ ...plan, steps }, { ...execOptions(job, bundle, stdio), ahead: { encoded } })
      kind.encoded = begun.launching.encoded
      const timer = setTimeout(() => void this.drop().catch(this.#onError), this.#idleMs)
      this.#spare = { kind, stdio, begun, timer }
    } catch (error) {
      closeAll(stdio.keep)
      throw error
    } finally {
      closeAll(stdio.child)
    }
  }

  /** Undefined where there is none for it, or it can't be done: then launching it anew says what is wrong. */
  async launch(job: ExecJob): Promise<LaunchResult | undefined> {
    const spare = this.#spare
    if (spare === undefined || spare.kind.key !== keyOf(job.exec)) return undefined
    this.#spare = undefined
    clearTimeout(spare.timer)
    const { kind, stdio, begun } = spare
    try {
      await begin(begun, job, kind)
      return execResult(kind.plan, await untilAtDoor(begun, {}), stdio)
    } catch {
      closeAll(stdio.keep)
      return undefined
    }
  }

  /** Whether one that stands at its door is told to become this one. */
  redirect({ late }: LaunchResult, { exec, root }: ExecJob): boolean {
    const kind = this.#kind
    if (late === undefined || kind === undefined || kind.key !== keyOf(exec)) return false
    try {
      late.program = encodeProgram(programOf(kind, exec, root))
      return true
    } catch {
      return false // launching it anew says what is wrong
    }
  }

  /** Whether it waits. */
  get waits(): boolean {
    return this.#spare !== undefined
  }

  /** Resolves when nothing is left of it. */
  async drop(): Promise<void> {
    const spare = this.#spare
    if (spare === undefined) return
    this.#spare = undefined
    clearTimeout(spare.timer)
    closeAll(spare.stdio.keep)
    await spare.begun.launching.abandon()
  }

  #kindOf(job: ExecJob, bundle: Bundle): Kind | undefined {
    const key = keyOf(job.exec)
    if (key === undefined) return undefined
    if (this.#kind?.key === key) return this.#kind
    const planned = planJob(job, bundle)
    return (this.#kind = reportsErrorsAlone(planned.plan) ? { key, bundle, ...planned } : undefined)
  }
}

function programOf({ process, bundle }: Kind, exec: ExecSpec, root: number): Step {
  return programStep(likeProcess(process, exec, bundle.config.process!, root))
}

async function begin({ launching }: BegunExec, job: ExecJob, kind: Kind): Promise<void> {
  try {
    launching.begin()
    launching.complete(programOf(kind, job.exec, job.root), execRecordName(job.execId))
  } catch (error) {
    await launching.abandon()
    throw error
  }
}

/** Of all that the plan of an exec depends on, and could be different in the next. */
function keyOf({ user, tty, cwd, stdin, privileged }: ExecSpec): string | undefined {
  return tty || user !== '' ? undefined : JSON.stringify([cwd, stdin, privileged])
}
