/** The report channel of one launch, as promises. */
import { receiveReport, sendMessage, watchFd, type LaunchReport, type Watch } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'

export class LaunchChannel {
  readonly fd: number
  #watch: Watch | undefined
  #ended = false

  /** The descriptor stays the caller's. */
  constructor(fd: number) {
    this.fd = fd
  }

  /** The next report; `end` again and again after the end. HF_TIMEOUT when none comes before `deadline`, by performance.now(). */
  async next(deadline: number): Promise<LaunchReport> {
    for (;;) {
      const report = this.#ended ? { kind: 'end' as const } : this.#receive()
      if (report !== undefined) {
        this.#ended = report.kind === 'end'
        return report
      }
      await this.#readable(deadline)
    }
  }

  /**
   * Lets the launcher go on after `sync` and `ready`, or begin where it was started ahead. `program`: what such a one needs
   * behind the door.
   */
  answer(program?: Uint8Array): void {
    sendMessage(this.fd, program === undefined ? 'c' : Buffer.concat([Buffer.from('c'), program]))
  }

  /** Stops watching; a later `next` starts again. */
  rest(): void {
    this.#watch?.close()
    this.#watch = undefined
  }

  /**
   * Whoever ends with our answer unread resets the channel. The kernel tells of that once, and before it hands out what
   * was reported earlier.
   */
  #receive(): LaunchReport | undefined {
    try {
      return receiveReport(this.fd)
    } catch (error) {
      if (!hasCode(error, 'ECONNRESET')) throw error
      return receiveReport(this.fd)
    }
  }

  #readable(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.rest()
        reject(new HoldfastError('HF_TIMEOUT', 'the launcher did not finish in time'))
      }, deadline - performance.now())
      this.rest()
      this.#watch = watchFd(this.fd, { readable: true, hangup: true }, () => {
        clearTimeout(timer)
        this.rest()
        resolve()
      })
    })
  }
}
