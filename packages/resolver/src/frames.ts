/** DNS over a stream (RFC 1035, section 4.2.2): each message after its length in two bytes. */
import { read16, write16 } from './wire.ts'

export class FrameReader {
  readonly #maxSize: number
  #unread: Uint8Array = new Uint8Array(0)

  constructor(maxSize = 65_535) {
    this.#maxSize = maxSize
  }

  /** The messages that are whole now; undefined: one is longer than it may be, and the stream is of no more use. */
  push(chunk: Uint8Array): Uint8Array[] | undefined {
    const bytes = new Uint8Array(this.#unread.length + chunk.length)
    bytes.set(this.#unread)
    bytes.set(chunk, this.#unread.length)
    const messages: Uint8Array[] = []
    let at = 0
    while (at + 2 <= bytes.length && at + 2 + read16(bytes, at) <= bytes.length) {
      const end = at + 2 + read16(bytes, at)
      messages.push(bytes.slice(at + 2, end))
      at = end
    }
    this.#unread = bytes.slice(at)
    return this.#unread.length >= 2 && read16(this.#unread, 0) > this.#maxSize ? undefined : messages
  }
}

export function frame(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(message.length + 2)
  write16(bytes, 0, message.length)
  bytes.set(message, 2)
  return bytes
}
