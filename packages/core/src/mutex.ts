/** Lets work in, one at a time, in the order of asking. Within one process: other processes need a lock file. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  /** Settles as `work` does, whatever the work before it came to. */
  run<T>(work: () => Promise<T> | T): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined) // its caller hears of it
    return result
  }

  /** Resolves when all that was let in so far has ended. */
  async idle(): Promise<void> {
    await this.#last
  }
}
