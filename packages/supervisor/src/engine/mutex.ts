/** Lets work in, one at a time, in the order of asking. */
export class Mutex {
  #tail: Promise<void> = Promise.resolve()

  async run<T>(action: () => Promise<T> | T): Promise<T> {
    const previous = this.#tail
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#tail = promise
    await previous
    try {
      return await action()
    } finally {
      resolve()
    }
  }
}
