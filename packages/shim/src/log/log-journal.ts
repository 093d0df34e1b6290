/** A file that holds what was moved out of a stream's pipe until the log has it. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'
import { splice } from '@holdfast/core'

export class Journal {
  readonly #path: string
  #fd: number
  #bytes = new Uint8Array(0)
  /** What lies before this offset is done with. */
  end = 0

  constructor(path: string) {
    this.#path = path
    this.#fd = openJournal(path)
  }

  /** Moves up to `length` bytes to the end; 0 at the end of input, undefined where there is nothing now. */
  moveFrom(pipe: number, length: number): number | undefined {
    return splice(pipe, this.#fd, length)
  }

  /** What is not done with yet. Valid until the next call. */
  read(): Uint8Array {
    const length = Math.max(0, fstatSync(this.#fd).size - this.end)
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(Math.max(length, 65_536))
    for (let at = 0; at < length;) at += readSync(this.#fd, this.#bytes, at, length - at, this.end + at)
    return this.#bytes.subarray(0, length)
  }

  /** Frees the room. The descriptor's offset stays, so that what comes next lies behind a hole, at `end`. */
  cut(): void {
    ftruncateSync(this.#fd, 0)
  }

  /** Empties it and starts at 0 again. */
  reset(): void {
    this.cut()
    closeSync(this.#fd)
    this.#fd = openJournal(this.#path)
    this.end = 0
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Not with O_APPEND, which splice(2) refuses. */
function openJournal(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
}
