/** One launch from `execveat` of the launcher to the program behind the door. */
import { openSync, constants } from 'node:fs'
import { join } from 'node:path'
import {
  closeFd,
  launch,
  maxProgram,
  pidfdGetfd,
  processStartTime,
  socketpair,
  TableWriter,
  type LauncherProcess,
  type LaunchReport,
  type TableHeader,
} from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import type { Step } from '@holdfast/plan'
import { abandonLaunch } from './abandon-launch.ts'
import { Door, behindDoor, type LateWord } from './door.ts'
import { encodeStep } from '../encode/encode-step.ts'
import { LaunchChannel } from './launch-channel.ts'
import { launchError } from './launch-error.ts'
import type { LaunchedProcess, LaunchOptions, ProcessHandle } from './launched.ts'

/** What is only of use once the init's pidfd is here. */
const fromInit: ReadonlySet<LaunchReport['kind']> = new Set(['ready', 'sync', 'listener', 'console'])

export interface LaunchingOptions extends LaunchOptions {
  terminal: boolean
  /** The name of a cgroup v2 directory's descriptor, in which the process is born. */
  bornIn?: string | undefined
  /** Which of the launcher's processes may share its memory. */
  share: NonNullable<TableHeader['share']>
  /** The launcher waits for `begin`. `encoded`: its steps, as an earlier launch with the same ones has encoded them. */
  ahead?: { encoded: TableWriter | undefined } | undefined
}

export interface LaunchListeners {
  /** At the plan's `sync` step, which waits for it. */
  onSync?: (pid: number) => Promise<void>
  /** The init exists. */
  onBorn?: ((init: ProcessHandle) => void) | undefined
}

export class Launching {
  #steps: readonly Step[]
  readonly #options: LaunchOptions
  /** For the next that has the same steps. */
  readonly encoded: TableWriter
  #late: LateWord | undefined
  /** Of one that was started ahead and has not begun. */
  #waiting: boolean
  readonly #channel: LaunchChannel
  readonly #keeper: LauncherProcess
  readonly #startTime: string
  readonly #keeperFds: Record<string, number> = {}
  /** Our end of the channel to the keeper. */
  readonly #trust: number
  #init: ProcessHandle | undefined
  #console: number | undefined

  constructor(steps: readonly Step[], options: LaunchingOptions, fds: Readonly<Record<string, number>>) {
    this.#steps = steps
    this.#options = options
    this.#waiting = options.ahead !== undefined
    const table = (this.encoded = options.ahead?.encoded ?? encodeSteps(steps))
    const [ours, theirs] = socketpair('seqpacket')
    const [trust, keeperEnd] = socketpair('seqpacket')
    const own: Record<string, number> = { report: theirs, trust: keeperEnd }
    try {
      const header = nameOwn(own, options)
      this.#keeper = launch({
        table,
        header: { ...header, waits: this.#waiting },
        fds: { ...fds, ...options.stdio, ...own },
        title: `holdfast: keeper ${options.name}`,
      })
    } catch (error) {
      closeFd(ours)
      closeFd(trust)
      throw error
    } finally {
      for (const [name, fd] of Object.entries(own)) if (!name.startsWith('keep:')) closeFd(fd)
    }
    this.#channel = new LaunchChannel(ours)
    this.#trust = trust
    // While the launcher works; afterwards it would cost time.
    this.#startTime = String(processStartTime(this.#keeper.pid) ?? '')
    for (const name of Object.keys(options.keep)) this.#keeperFds[name] = table.numberOf(`keep:${name}`)
    this.#keeperFds['door'] = table.firstSlot
    if (options.terminal) this.#keeperFds['console'] = table.firstSlot + 1
  }

  /** Has a launcher begin that was started ahead. */
  begin(): void {
    if (!this.#waiting) throw new HoldfastError('HF_INTERNAL', 'this launcher has begun')
    this.#waiting = false
    this.#channel.answer()
  }

  /** What one that was started ahead is told at its door. `last`: the step that was missing. */
  complete(last: Step, recordName: string): void {
    this.#late = { program: encodeProgram(last), recordName }
    this.#steps = [...this.#steps, last]
  }

  /** Until the init stands at its door, or, in a plan without one, runs its program. */
  async untilReady(deadline: number, { onSync, onBorn }: LaunchListeners = {}): Promise<void> {
    const early: LaunchReport[] = []
    let ready = false
    while (!ready || this.#init === undefined) {
      const report = await this.#channel.next(deadline)
      if (report.kind === 'born') {
        this.#init = { pid: report.pid, pidfd: report.pidfd }
        onBorn?.(this.#init)
        for (const each of early) ready = await this.#take(each, onSync)
      } else if (this.#init === undefined && fromInit.has(report.kind)) {
        early.push(report) // it has overtaken the report of the birth
      } else if (await this.#take(report, onSync)) {
        ready = true
      }
    }
  }

  /** Until the init exists. What it then does at a silent door and before is the opener's to hear. */
  async untilBorn(deadline: number): Promise<void> {
    const report = await this.#channel.next(deadline)
    if (report.kind !== 'born') throw this.#failure(report)
    this.#init = { pid: report.pid, pidfd: report.pidfd }
  }

  /** Does what a report asks for; true when the launch has got where it should. */
  async #take(report: LaunchReport, onSync: LaunchListeners['onSync']): Promise<boolean> {
    if (report.kind === 'ready') return true
    if (report.kind === 'console') this.#console = report.fd
    else if (report.kind === 'listener') await this.#handOver(report.number)
    else if (report.kind === 'sync') {
      await onSync?.(this.#init!.pid)
      this.#channel.answer()
    } else throw this.#failure(report)
    return false
  }

  async #handOver(number: number): Promise<void> {
    const { pid, pidfd } = this.#init!
    const listener = pidfdGetfd(pidfd, number)
    if (this.#options.onListener) await this.#options.onListener(listener, pid)
    else closeFd(listener)
  }

  #failure(report: LaunchReport): Error {
    if (report.kind === 'error') return launchError(report, this.#steps)
    return new HoldfastError('HF_START_FAILED', 'the launcher was killed before it was done', {
      hint: 'Look for the out-of-memory killer in dmesg(1): the memory limit may be too low to start anything.',
    })
  }

  process(): LaunchedProcess {
    const { pid, pidfd } = this.#keeper
    this.#channel.rest()
    return {
      init: this.#init!,
      keeper: { pid, pidfd, startTime: this.#startTime },
      door: new Door(
        { door: this.#channel.fd, trust: this.#trust, console: this.#console },
        behindDoor(this.#steps),
        this.#late,
      ),
      ...(this.#console !== undefined && { console: this.#console }),
      keeperFds: this.#keeperFds,
    }
  }

  /** Nothing is left of it. */
  abandon(): Promise<void> {
    this.#channel.rest()
    return abandonLaunch({
      init: this.#init?.pidfd,
      keeper: this.#keeper.pidfd,
      others: [this.#channel.fd, this.#trust, this.#console],
      record: join(this.#options.directory, this.#options.recordName),
    })
  }
}

/** Of one that was started ahead: its last step. Throws HF_INTERNAL where the launcher has no room for it. */
export function encodeProgram(last: Step): Uint8Array {
  const program = encodeSteps([last]).stepBytes()
  if (program.length <= maxProgram) return program
  throw new HoldfastError('HF_INTERNAL', 'this program is too long for that')
}

function encodeSteps(steps: readonly Step[]): TableWriter {
  const table = new TableWriter()
  for (const step of steps) encodeStep(table, step)
  return table
}

/** Opens what the launcher needs beside the plan's own descriptors into `own`, and names it all. */
function nameOwn(own: Record<string, number>, options: LaunchingOptions): TableHeader {
  own['directory'] = openSync(options.directory, constants.O_RDONLY | constants.O_DIRECTORY)
  for (const [name, fd] of Object.entries(options.keep)) own[`keep:${name}`] = fd
  return {
    mode: 'launch',
    report: 'report',
    trust: 'trust',
    directory: 'directory',
    record: options.recordName,
    ...(options.bornIn !== undefined && { cgroup: options.bornIn }),
    share: options.share,
    keep: Object.keys(own).filter((name) => name.startsWith('keep:')),
  }
}
