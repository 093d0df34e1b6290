/** One at a time: what changes a container's state takes its lock, so that no verb sees another half done. */
export class Lock {
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
