/** The launch of an exec that was created and not started yet: it waits at its door, for a moment. */
import { watchFd, type Watch } from '@holdfast/core'
import type { ExecSpec } from '@holdfast/protocol'
import type { LaunchResult } from '../launch/launch-result.ts'

/** Whoever creates an exec starts it next, or takes his time. */
const patienceMs = 500

interface Waiting {
  id: string
  spec: string
  result: LaunchResult
  /** Has it become another; false where it can't. */
  redirect: (spec: ExecSpec) => boolean
  /** Resolves when nothing is left of it. */
  discard: () => Promise<void>
  over: () => void
  /** Once it waits. */
  watch?: Watch
  timer?: NodeJS.Timeout
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

  /** Of the exec `id`. The promise resolves when it waits no longer. */
  keep(id: string, spec: ExecSpec, launch: Pick<Waiting, 'result' | 'redirect' | 'discard'>): Promise<void> {
    return new Promise((over) => {
      const waiting: Waiting = { id, spec: JSON.stringify(spec), ...launch, over }
      this.#waiting = waiting
      // Whoever has asked for it already takes it before that.
      setImmediate(() => {
        if (this.#waiting !== waiting) return
        const drop = (): void => void this.drop()
        // It failed on its way, or the container ends: that waits until this one is reaped.
        waiting.watch = watchFd(waiting.result.fds['init']!, { readable: true }, drop)
        waiting.timer = setTimeout(drop, patienceMs)
      })
    })
  }

  /** What was launched for the exec `id`, if it is to be just so, or can be. Otherwise nothing is left that has its name. */
  async take(id: string, spec: ExecSpec): Promise<LaunchResult | undefined> {
    const waiting = this.#waiting
    if (waiting?.id !== id) await this.#dropped
    else if (waiting.spec !== JSON.stringify(spec) && !waiting.redirect(spec)) await this.drop()
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
    this.#dropped = waiting.discard().catch(this.#onError).finally(waiting.over)
    return this.#dropped
  }

  #let(waiting: Waiting): void {
    this.#waiting = undefined
    waiting.watch?.close()
    clearTimeout(waiting.timer)
  }
}
