/** How long somebody may keep others waiting: what takes longer waits for a disk or for a hook, not for a processor. */
const holdMs = 500

/**
 * Work that takes turns, in the order of its coming: at most `most` at a time. Work that goes on for longer than `holdMs`
 * doesn't count any more, so that what hangs never keeps the others from their turn for long.
 */
export class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#free = most
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    let leave = (): void => {
      leave = () => {}
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
    const timer = setTimeout(() => leave(), holdMs)
    try {
      return await work()
    } finally {
      clearTimeout(timer)
      leave()
    }
  }
}
