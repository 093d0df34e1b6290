/**
 * A json-file log on disk: appended to, rotated as Docker does it (`x-json.log`, `x-json.log.1`, …), never blocking
 * the container. Each file has an inode of its own while its predecessor still exists, so an inode names a file.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { hasCode } from '@holdfast/errors'

export interface LogFileOptions {
  path: string
  /** Bytes after which a file is rotated; -1: never. */
  maxSize: number
  /** Files kept, the current one included. */
  maxFile: number
}

export class LogFile {
  readonly path: string
  readonly #options: LogFileOptions
  #fd: number
  size: number
  ino: number
  /** Counts the rotations of this process: generation n-1 lies in `<path>.1`. */
  generation = 0

  constructor(options: LogFileOptions) {
    this.path = options.path
    this.#options = options
    this.#fd = openSync(this.path, 'a', 0o640)
    const { size, ino } = fstatSync(this.#fd)
    this.size = size
    this.ino = ino
  }

  /** Bytes after which `rotate` is due. */
  get room(): number {
    return this.#options.maxSize < 0 ? Infinity : this.#options.maxSize - this.size
  }

  /** All of it or nothing: false where the disk is full, with the file as it was. */
  append(entries: Uint8Array): boolean {
    const { size } = this
    try {
      for (let done = 0; done < entries.length;) {
        done += writeSync(this.#fd, entries, done, entries.length - done)
        this.size = size + done
      }
      return true
    } catch (error) {
      if (!hasCode(error, 'ENOSPC', 'EDQUOT', 'EFBIG')) throw error
      this.truncate(size)
      return false
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.#fd, size)
    this.size = size
  }

  /**
   * Moves every file one up and starts a new one; false where the disk is full, and the old file goes on. A reader
   * finds a file under the path at every moment, and a kill at any moment leaves a state from which this works again.
   */
  rotate(): boolean {
    const fresh = `${this.path}.new`
    let fd: number
    try {
      rmSync(fresh, { force: true })
      fd = openSync(fresh, 'ax', 0o640)
    } catch (error) {
      if (hasCode(error, 'ENOSPC', 'EDQUOT')) return false
      throw error
    }
    this.#shiftOld()
    renameSync(fresh, this.path)
    closeSync(this.#fd)
    this.#fd = fd
    this.size = 0
    this.ino = fstatSync(fd).ino
    this.generation++
    return true
  }

  close(): void {
    closeSync(this.#fd)
  }

  #shiftOld(): void {
    const { maxFile } = this.#options
    if (maxFile < 2) return
    if (inodeOf(`${this.path}.1`) === this.ino) return // a rotation that was killed half way
    for (let number = maxFile - 1; number > 1; number--) {
      renameIfThere(`${this.path}.${number - 1}`, `${this.path}.${number}`)
    }
    rmSync(`${this.path}.1`, { force: true })
    linkSync(this.path, `${this.path}.1`)
  }
}

/** The paths of a log's files, oldest first. */
export function logPaths(path: string, maxFile: number): string[] {
  const old = Array.from({ length: maxFile - 1 }, (_, index) => `${path}.${maxFile - 1 - index}`)
  return [...old.filter((each) => inodeOf(each) !== undefined), path]
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}
