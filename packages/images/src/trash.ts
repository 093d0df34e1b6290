/**
 * What was removed and still takes up room: whole trees, moved here by a rename and deleted in a worker thread, some
 * time later and all at once. Unlinking a large file can take a tenth of a second, which is too long for the thread
 * that answers requests.
 */
import { readdirSync } from 'node:fs'
import type { StoreDirectories } from './directories.ts'
import { runTask } from './run-task.ts'

/** Containers often come and go by the dozen: one thread is started for many of them. */
const delayMs = 300

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
      await runTask({ kind: 'empty-trash', root: this.#directories.root })
      this.#running = false
      if (!this.#closed && readdirSync(this.#directories.trash).length > 0) this.emptySoon()
    } catch (error) {
      this.#running = false
      this.#onError(new Error(`removed files are still in ${this.#directories.trash}`, { cause: error }))
    }
  }
}
