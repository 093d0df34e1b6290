/**
 * What stands between a launched process and its program: the channel to it, and the one on which its keeper waits to
 * be entrusted. Whoever holds these two descriptors decides: while they are open nothing happens, and once they are
 * closed without a word the launch ends and leaves nothing.
 */
import { closeFd, receiveMessage, sendMessage } from '@holdfast/core'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { Step } from '@holdfast/plan'
import { closeLater } from '../close-later.ts'
import { hookSteps, hooksTime } from './hooks.ts'
import { LaunchChannel } from './launch-channel.ts'
import { nameStep, stepError, type NamedStep } from './launch-error.ts'

/** How long the program may take from the door to its first instruction; reading it from a slow disk is in it. */
const execTimeoutMs = 60_000

/** More than any report of a launcher has. */
const maxReport = 1024

/** What may fail once it is open: with a silent one, which is opened ahead, all that the init does. */
export interface BehindDoor {
  /** By their place in the plan, for the error of one that fails. */
  readonly steps: Record<number, NamedStep>
  /** How much time the hooks among them may take. */
  hooksMs: number
}

export interface DoorDescriptors {
  door: number
  /** Absent where the keeper was entrusted already, by an earlier shim. On it the keeper tells of the end. */
  trust?: number | undefined
  console?: number | undefined
}

/** What a launcher that was started ahead did not know: the last step, and how its keeper's record is to be called. */
export interface LateWord {
  program: Uint8Array
  recordName: string
}

export class Door {
  readonly fds: DoorDescriptors
  readonly behind: BehindDoor
  readonly late: LateWord | undefined
  readonly #channel: LaunchChannel
  #entrusted = false
  #keeperGone = false
  #nobody: Error | undefined

  constructor(fds: DoorDescriptors, behind: BehindDoor, late?: LateWord) {
    this.fds = { ...fds }
    this.behind = behind
    this.late = late
    this.#channel = new LaunchChannel(fds.door)
  }

  /** From now on the launch outlives this process. Call it once what a later shim must know is written down. */
  entrust(): boolean {
    const { trust, door, console } = this.fds
    if (trust === undefined || this.#entrusted) return !this.#keeperGone
    this.#entrusted = true
    try {
      // The keeper holds our end of the channel too: a later shim opens the door with it.
      sendMessage(trust, `k${this.late?.recordName ?? ''}`, console === undefined ? [door] : [door, console])
    } catch (error) {
      // It was killed. This shim goes on without, and sees itself how the process ends.
      if (!hasCode(error, 'EPIPE', 'ECONNRESET')) throw error
      this.#keeperGone = true
    }
    return !this.#keeperGone
  }

  /** Nobody stands behind it, and nothing is left to be heard: the program runs, or has ended. */
  get passed(): boolean {
    try {
      const word = receiveMessage(this.fds.door, maxReport, { peek: true })
      for (const fd of word?.fds ?? []) closeFd(fd)
      return word?.data.length === 0
    } catch (error) {
      if (!hasCode(error, 'ECONNRESET')) throw error
      return this.passed // told once, and before what was reported earlier
    }
  }

  close(): void {
    closeFd(this.fds.door)
  }

  /** Lets the process behind it execute its program; resolves once it has. Closes the channel. */
  async open(): Promise<void> {
    this.unlock()
    await this.opened()
  }

  /** Lets it go on. False where there is nobody, or only a report of what has failed: `opened` says which. */
  unlock(): boolean {
    this.entrust()
    const nobody = answer(this.#channel, this.late?.program)
    // Of one that was entrusted by an earlier shim: that has opened it, before it was killed.
    this.#nobody = this.fds.trust === undefined ? undefined : nobody
    return this.#nobody === undefined
  }

  /** Resolves once the program is executed. Closes the channel. `due`: when to look whether it is. */
  async opened(due?: Promise<void>): Promise<void> {
    const channel = this.#channel
    try {
      await due
      const report = await channel.next(performance.now() + execTimeoutMs + this.behind.hooksMs)
      if (report.kind === 'error') throw stepError(report, this.behind.steps[report.step])
      if (report.kind !== 'end')
        throw new HoldfastError('HF_INTERNAL', `unexpected ${report.kind} behind the door`)
      if (this.#nobody) throw this.#nobody
    } finally {
      channel.rest()
      if (due === undefined) this.close()
      else closeLater(this.fds.door)
    }
  }
}

/** What it means that there is nobody behind the door; who failed on the way to a silent one has left a report. */
function answer(channel: LaunchChannel, program: Uint8Array | undefined): Error | undefined {
  try {
    channel.answer(program)
    return undefined
  } catch (cause) {
    if (!hasCode(cause, 'EPIPE', 'ECONNRESET')) throw cause
    return new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'the process ended before it was started', { cause })
  }
}

export const nothingBehind: BehindDoor = { steps: {}, hooksMs: 0 }

export function behindDoor(steps: readonly Step[]): BehindDoor {
  return {
    // To find words for each takes longer than to open the door, and hardly ever does one fail.
    get steps() {
      return namesBehind(steps)
    },
    hooksMs: hooksTime(hookSteps(steps, 'startContainer')),
  }
}

function namesBehind(steps: readonly Step[]): BehindDoor['steps'] {
  const silent = steps.some((step) => step.do === 'door' && step.silent === true)
  const last = steps.findIndex((step) => step.do === (silent ? 'clone' : 'door'))
  return Object.fromEntries(
    steps.flatMap((step, index) => (index > last ? [[index, nameStep(step)] as const] : [])),
  )
}
