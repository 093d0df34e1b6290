/** Output bytes → entries of a json-file log. What a stream said after its last line end waits here for the rest. */
import { entrySuffix, maxEntrySize, maxLogText, writeEntries, writeEntry } from '@holdfast/protocol'

export type OutputStream = 'stdout' | 'stderr'

/** Bytes of each stream that are not in the log yet: less than 16 KiB without a line end. */
export type Partials = Record<OutputStream, Uint8Array>

export const noPartials: Partials = { stdout: new Uint8Array(0), stderr: new Uint8Array(0) }

/** Room for entries before they are handed on; an entry may be longer than what is left. */
const batchSize = 256 * 1024
const outSize = batchSize + maxEntrySize(maxLogText)

/** `entries` holds whole entries and is only valid during the call. Returns the room left in the log file, in bytes. */
export type Emit = (entries: Uint8Array) => number

/** What one call of `encode` works on. */
export interface EncodeInput {
  stream: OutputStream
  bytes: Uint8Array
  /** RFC 3339 with nanoseconds. */
  time: string
  /** How many bytes of entries the log file takes before it is rotated. */
  room: number
}

export class LogEncoder {
  partials: Partials = { ...noPartials }
  // Kept once made, so that a talkative container makes no garbage; an idle shim has none.
  #out: Uint8Array | undefined
  #text: Uint8Array | undefined

  /** The same input after the same partials gives the same entries: recovery after a kill depends on it. */
  encode(input: EncodeInput, emit: Emit): void {
    const { stream } = input
    const text = this.#withPartial(this.partials[stream], input.bytes)
    const suffix = entrySuffix(stream, input.time)
    const out = (this.#out ??= new Uint8Array(outSize))
    let { room } = input
    let start = 0
    for (;;) {
      const { end, rest } = writeEntries(out, text, {
        start,
        suffix,
        limit: Math.min(batchSize, Math.max(1, room)),
      })
      start = rest
      if (end === 0) break
      room = emit(out.subarray(0, end))
    }
    this.partials[stream] = start === text.length ? noPartials[stream] : text.slice(start)
  }

  /** The stream has ended: what is left becomes an entry without a line end. */
  finish({ stream, time }: Omit<EncodeInput, 'bytes'>, emit: Emit): void {
    const partial = this.partials[stream]
    if (partial.length === 0) return
    const out = (this.#out ??= new Uint8Array(outSize))
    const end = writeEntry(out, 0, partial, 0, partial.length, entrySuffix(stream, time))
    this.partials[stream] = noPartials[stream]
    emit(out.subarray(0, end))
  }

  #withPartial(partial: Uint8Array, bytes: Uint8Array): Uint8Array {
    const length = partial.length + bytes.length
    if (!this.#text || this.#text.length < length)
      this.#text = new Uint8Array(Math.max(length, maxLogText + 65_536))
    this.#text.set(partial)
    this.#text.set(bytes, partial.length)
    return this.#text.subarray(0, length)
  }
}
