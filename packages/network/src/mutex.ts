/** Lets work in, one at a time, in the order of asking. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined) // its caller hears of it
    return result
  }

  /** Resolves when all that was let in so far has ended. */
  async idle(): Promise<void> {
    await this.#last
  }
}
