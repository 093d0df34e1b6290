/** Output bytes → entries of a json-file log. What a stream said after its last line end waits here for the rest. */
import { entrySuffix, maxEntrySize, maxLogText, writeEntry, writePlainEntries } from '@holdfast/protocol'

export type OutputStream = 'stdout' | 'stderr'

/** Bytes of each stream that are not in the log yet: less than 16 KiB without a line end. */
export type Partials = Record<OutputStream, Uint8Array>

export const noPartials: Partials = { stdout: new Uint8Array(0), stderr: new Uint8Array(0) }

/** Room for entries before they are handed on; an entry may be longer than what is left. */
const batchSize = 256 * 1024
const newline = 0x0a

/** `entries` holds whole entries and is only valid during the call. Returns the room left in the log file, in bytes. */
export type Emit = (entries: Buffer) => number

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
  #out: Buffer | undefined

  /** The same input after the same partials gives the same entries: recovery after a kill depends on it. */
  encode(input: EncodeInput, emit: Emit): void {
    const { stream } = input
    const partial = this.partials[stream]
    const text = partial.length === 0 ? input.bytes : Buffer.concat([partial, input.bytes])
    const end = this.#encodeText(text, input, emit)
    this.partials[stream] = end === text.length ? noPartials[stream] : Uint8Array.prototype.slice.call(text, end)
  }

  /** The stream has ended: what is left becomes an entry without a line end. */
  finish(input: Omit<EncodeInput, 'bytes'>, emit: Emit): void {
    const partial = this.partials[input.stream]
    if (partial.length === 0) return
    const out = this.#buffer(maxEntrySize(partial.length))
    const end = writeEntry(out, 0, partial, 0, partial.length, entrySuffix(input.stream, input.time))
    this.partials[input.stream] = noPartials[input.stream]
    emit(out.subarray(0, end))
  }

  /** Returns where the rest without a line end starts. */
  #encodeText(text: Uint8Array, input: EncodeInput, emit: Emit): number {
    const suffix = entrySuffix(input.stream, input.time)
    const out = this.#buffer(batchSize + maxEntrySize(maxLogText + 1))
    let { room } = input
    let at = 0
    let start = text.lastIndexOf(newline) + 1
    if (start > 0) {
      const lines = Buffer.from(text.buffer, text.byteOffset, start)
      const end = writePlainEntries(out, lines, suffix)
      // Beyond the room the file must be rotated between two entries.
      if (end >= 0 && end < room) room = emit(out.subarray(0, end))
      else start = 0
    }
    while (start < text.length) {
      const lineEnd = text.indexOf(newline, start)
      let end = lineEnd < 0 ? text.length : lineEnd + 1
      if ((lineEnd < 0 ? end : lineEnd) - start >= maxLogText) end = start + maxLogText
      else if (lineEnd < 0) break
      at = writeEntry(out, at, text, start, end, suffix)
      start = end
      if (at < batchSize && at < room) continue
      room = emit(out.subarray(0, at))
      at = 0
    }
    if (at > 0) emit(out.subarray(0, at))
    return start
  }

  /** Kept once made; an idle shim has none. */
  #buffer(size: number): Buffer {
    if (!this.#out || this.#out.length < size) this.#out = Buffer.allocUnsafeSlow(size)
    return this.#out
  }
}
