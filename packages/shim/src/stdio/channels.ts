/** The channels of one control connection. */
import type { WebSocket } from 'ws'
import { HoldfastError } from '@holdfast/errors'
import { decodeChannelFrame } from '@holdfast/protocol'
import { Channel } from './channel.ts'

/** At once; each may have megabytes on their way. */
const maxChannels = 512

export class Channels {
  readonly #socket: WebSocket
  readonly #open = new Map<number, Channel>()

  constructor(socket: WebSocket) {
    this.#socket = socket
  }

  /** Throws HF_BAD_REQUEST for a number that is in use. */
  open(id: number): Channel {
    if (this.#open.has(id)) {
      throw new HoldfastError('HF_BAD_REQUEST', `channel ${id} is open`, { details: { field: 'channel' } })
    }
    if (this.#open.size >= maxChannels) {
      throw new HoldfastError('HF_BAD_REQUEST', `${maxChannels} channels are open`, {
        details: { field: 'channel' },
      })
    }
    const channel = new Channel(id, this.#socket)
    this.#open.set(id, channel)
    channel.onGone(() => this.#open.delete(id))
    return channel
  }

  /** Throws HF_PROTOCOL. A frame for a channel that was closed from here crossed that on its way. */
  receive(bytes: Uint8Array): void {
    const frame = decodeChannelFrame(bytes)
    this.#open.get(frame.channel)?.receive(frame)
  }

  /** The connection is gone. */
  gone(): void {
    for (const channel of this.#open.values()) channel.gone()
  }

  /** Resolves when every client was sent what there was for it, or has taken nothing for `patienceMs`. */
  async whenOver(patienceMs: number): Promise<void> {
    await Promise.all([...this.#open.values()].map((channel) => channel.whenOver(patienceMs)))
  }
}
