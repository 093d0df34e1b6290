/**
 * What was removed and still takes up room: whole trees, moved here by a rename and deleted some time later and all at
 * once. Unlinking a large file can take a tenth of a second, which is too long for the thread that answers requests, so
 * that is done in a worker thread. To start one costs some ten milliseconds of the processor: small trees go without.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { AT_FDCWD, closeFd, O_DIRECTORY, O_NOFOLLOW, openat2, readdir } from '@holdfast/core'
import type { StoreDirectories } from '../directories.ts'
import { runTask } from '../task/run-task.ts'
import { removeIfSmall } from './small-tree.ts'

/** Containers often come and go by the dozen: one thread is started for many of them. */
const delayMs = 300

/** Small trees in a row before requests get their turn. */
const atOnce = 16

export class Trash {
  readonly #directories: StoreDirectories
  readonly #onError: (error: Error) => void
  #timer: NodeJS.Timeout | undefined
  #running = false
  #closed = false

  constructor(directories: StoreDirectories, onError: (error: Error) => void) {
    this.#directories = directories
    this.#onError = onError
  }

  emptySoon(): void {
    if (this.#timer || this.#running || this.#closed) return
    this.#timer = setTimeout(() => void this.#empty(), delayMs)
    this.#timer.unref()
  }

  /** What is left is removed when the store is next opened. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #empty(): Promise<void> {
    this.#timer = undefined
    this.#running = true
    try {
      if ((await this.#hasLargeOnes()) && !this.#closed)
        await runTask({ kind: 'empty-trash', root: this.#directories.root })
      this.#running = false
      if (!this.#closed && this.#look((_trash, names) => names.length > 0)) this.emptySoon()
    } catch (error) {
      this.#running = false
      this.#onError(new Error(`removed files are still in ${this.#directories.trash}`, { cause: error }))
    }
  }

  /** Takes small trees away, and tells whether others are there. */
  async #hasLargeOnes(): Promise<boolean> {
    const large = new Set<string>()
    for (let more = true; more && !this.#closed;) {
      more = this.#look((trash, names) => {
        const next = names.filter((name) => !large.has(name.toString('latin1'))).slice(0, atOnce)
        for (const name of next) if (!removeIfSmall(trash, name)) large.add(name.toString('latin1'))
        return next.length === atOnce
      })
      await nextTurn()
    }
    return large.size > 0
  }

  #look<Result>(at: (trash: number, names: Buffer[]) => Result): Result {
    const trash = openat2(AT_FDCWD, this.#directories.trash, { flags: O_DIRECTORY | O_NOFOLLOW })
    try {
      return at(trash, readdir(trash))
    } finally {
      closeFd(trash)
    }
  }
}
