/** One at a time, in the order of asking: create, start, pause, resume, exec.start and delete exclude each other. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task)
    this.#last = result.catch(() => {}) // its caller hears of it
    return result
  }
}
