/**
 * What stands between a launched process and its program: the channel to it, and the one on which its keeper waits to
 * be entrusted. Whoever holds these two descriptors decides: while they are open nothing happens, and once they are
 * closed without a word the launch ends and leaves nothing.
 */
import { closeFd, receiveMessage, sendMessage } from '@holdfast/core'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { Step } from '@holdfast/plan'
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

export class Door {
  readonly fds: DoorDescriptors
  readonly behind: BehindDoor
  #entrusted = false

  constructor(fds: DoorDescriptors, behind: BehindDoor) {
    this.fds = { ...fds }
    this.behind = behind
  }

  /** From now on the launch outlives this process. Call it once what a later shim must know is written down. */
  entrust(): void {
    const { trust, door, console } = this.fds
    if (trust === undefined || this.#entrusted) return
    this.#entrusted = true
    try {
      // The keeper holds our end of the channel too: a later shim opens the door with it.
      sendMessage(trust, 'k', console === undefined ? [door] : [door, console])
    } catch (error) {
      // It was killed. This shim goes on without, and sees itself how the process ends.
      if (!hasCode(error, 'EPIPE', 'ECONNRESET')) throw error
    }
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
    this.entrust()
    const channel = new LaunchChannel(this.fds.door)
    try {
      const nobody = answer(channel)
      const report = await channel.next(Date.now() + execTimeoutMs + this.behind.hooksMs)
      if (report.kind === 'error') throw stepError(report, this.behind.steps[report.step])
      if (report.kind !== 'end')
        throw new HoldfastError('HF_INTERNAL', `unexpected ${report.kind} behind the door`)
      if (nobody) throw nobody
    } finally {
      channel.rest()
      this.close()
    }
  }
}

/** What it means that there is nobody behind the door; who failed on the way to a silent one has left a report. */
function answer(channel: LaunchChannel): Error | undefined {
  try {
    channel.answer()
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
