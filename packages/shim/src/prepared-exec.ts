/** The launch of an exec that was created and not started yet: it waits at its door, for a moment. */
import { watchFd, type Watch } from '@holdfast/core'
import type { ExecSpec } from '@holdfast/protocol'
import { abandonResult } from './abandon-launch.ts'
import type { LaunchResult } from './launch-result.ts'

/** Whoever creates an exec starts it next, or takes his time. */
const patienceMs = 500

interface Waiting {
  id: string
  spec: string
  result: LaunchResult
  record: string
  watch: Watch
  timer: NodeJS.Timeout
  over: () => void
}

export class PreparedExec {
  readonly #onError: (error: Error) => void
  #waiting: Waiting | undefined
  #dropped: Promise<void> = Promise.resolve()

  constructor(onError: (error: Error) => void) {
    this.#onError = onError
  }

  get busy(): boolean {
    return this.#waiting !== undefined
  }

  /** Of the exec `id`; `record`: the path of its exit record. The promise resolves when it waits no longer. */
  keep(
    id: string,
    spec: ExecSpec,
    { result, record }: { result: LaunchResult; record: string },
  ): Promise<void> {
    return new Promise((over) => {
      const drop = (): void => void this.drop()
      this.#waiting = {
        id,
        spec: JSON.stringify(spec),
        result,
        record,
        // It failed on its way, or the container ends: that waits until this one is reaped.
        watch: watchFd(result.fds['init']!, { readable: true }, drop),
        timer: setTimeout(drop, patienceMs),
        over,
      }
    })
  }

  /** What was launched for the exec `id`, if it was to be just so. Otherwise nothing is left that has its name. */
  async take(id: string, spec: ExecSpec): Promise<LaunchResult | undefined> {
    const waiting = this.#waiting
    if (waiting?.id !== id) await this.#dropped
    else if (waiting.spec !== JSON.stringify(spec)) await this.drop()
    else {
      this.#let(waiting)
      waiting.over()
      return waiting.result
    }
    return undefined
  }

  /** Resolves when nothing is left of what waited. */
  drop(): Promise<void> {
    const waiting = this.#waiting
    if (waiting === undefined) return this.#dropped
    this.#let(waiting)
    this.#dropped = abandonResult(waiting.result, waiting.record).catch(this.#onError).finally(waiting.over)
    return this.#dropped
  }

  #let(waiting: Waiting): void {
    this.#waiting = undefined
    waiting.watch.close()
    clearTimeout(waiting.timer)
  }
}
