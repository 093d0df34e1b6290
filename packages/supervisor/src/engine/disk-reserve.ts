import { closeSync, fsyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { isDiskFull } from '@holdfast/errors'

const size = 4 << 20
const chunk = 1 << 16

/**
 * Blocks of the data root's file system that are kept for what frees it: on a full disk the end of a container could
 * not be written down, and even a removal has to write first. They are given back at the first write that finds no
 * room, and taken again once there is some.
 */
export class DiskReserve {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
    this.fill()
  }

  /** Idempotent. Where there is no room it stays without: the next call tries again. */
  fill(): void {
    if (statSync(this.#path, { throwIfNoEntry: false })?.size === size) return
    try {
      const fd = openSync(this.#path, 'w', 0o600)
      try {
        for (let written = 0; written < size; written += chunk) writeSync(fd, Buffer.alloc(chunk))
        fsyncSync(fd) // with delayed allocation the blocks are the file's only now
      } finally {
        closeSync(fd)
      }
    } catch (error) {
      if (!isDiskFull(error)) throw error
      this.#release()
    }
  }

  /** Does it, and once more with the reserve given back where the disk was full. */
  run<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      if (!this.#helps(error)) throw error
      return action()
    }
  }

  /** As `run`. */
  async runAsync<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      if (!this.#helps(error)) throw error
      return await action()
    }
  }

  #helps(error: unknown): boolean {
    return isDiskFull(error) && this.#release()
  }

  /** Whether there was any. */
  #release(): boolean {
    const there = statSync(this.#path, { throwIfNoEntry: false }) !== undefined
    if (there) rmSync(this.#path)
    return there
  }
}
