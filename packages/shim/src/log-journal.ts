/** A file that holds what was moved out of a stream's pipe until the log has it. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'
import { splice } from '@holdfast/core'

export class Journal {
  readonly #path: string
  #fd: number
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

  /** What is not done with yet. */
  read(): Buffer {
    const bytes = Buffer.allocUnsafe(Math.max(0, fstatSync(this.#fd).size - this.end))
    for (let at = 0; at < bytes.length; ) at += readSync(this.#fd, bytes, at, bytes.length - at, this.end + at)
    return bytes
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
