/**
 * When a program that was just let run is looked at for the first time. Most that are executed in a container end within
 * milliseconds, and whoever looks at their beginning, their output and their end one by one takes the processor from
 * them each time. So all of it is looked at once: when it has ended, or after a moment. Nothing is lost meanwhile.
 */

/** As long as `true` takes on a slow machine. No more: until then nobody hears of what the program writes. */
const firstLookMs = 8

export class FirstLook {
  readonly #due = Promise.withResolvers<void>()

  /** Resolves when it is time. */
  get due(): Promise<void> {
    return this.#due.promise
  }

  /** From now on. `ended`: the end of what runs. */
  begin(ended: Promise<unknown>): Promise<void> {
    const timer = setTimeout(this.#due.resolve, firstLookMs)
    const look = (): void => {
      clearTimeout(timer)
      this.#due.resolve()
    }
    ended.then(look, look)
    return this.due
  }
}
