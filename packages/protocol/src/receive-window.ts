/** The receiving half of a channel: what has come and was not taken yet is never more than a window. */
import { HoldfastError } from '@holdfast/errors'
import { streamWindow } from './channel.ts'

/** The receiving half of a channel: counts what came and what was taken, and so what may come. */
export class ReceiveWindow {
  #received = 0
  #taken = 0

  /** Throws HF_PROTOCOL where the other side had no room left. */
  received(bytes: number): void {
    this.#received += bytes
    if (this.#received > streamWindow) {
      throw new HoldfastError('HF_PROTOCOL', 'more was sent than there was room for')
    }
  }

  /** How much room to tell the other side of, now that `bytes` more were taken: 0 as long as it has plenty. */
  taken(bytes: number): number {
    this.#taken += bytes
    if (this.#taken < streamWindow / 2) return 0
    const grant = this.#taken
    this.#received -= grant
    this.#taken = 0
    return grant
  }
}
