import type { ContainerRecord } from './container-record.ts'

export type WaitCondition = 'not-running' | 'next-exit' | 'removed'

export interface WaitResult {
  statusCode: number
  error?: string
}

/** Who waits for a container to end or to go. Ends and removals settle them in the order in which they came. */
export class Waits {
  readonly #waiting = new Set<{ condition: WaitCondition; resolve(result: WaitResult): void }>()

  /** The promise settles when the condition holds; it never settles once `signal` has aborted. */
  add(condition: WaitCondition, record: ContainerRecord, signal: AbortSignal): Promise<WaitResult> {
    if (condition === 'not-running' && !isRunning(record)) return Promise.resolve(resultOf(record))
    const { promise, resolve } = Promise.withResolvers<WaitResult>()
    if (signal.aborted) return promise
    const waiting = {
      condition,
      resolve: (result: WaitResult) => {
        signal.removeEventListener('abort', forget)
        resolve(result)
      },
    }
    const forget = (): void => void this.#waiting.delete(waiting)
    signal.addEventListener('abort', forget, { once: true })
    this.#waiting.add(waiting)
    return promise
  }

  /** The container has ended. */
  exited(record: ContainerRecord): void {
    this.#settle(record, (condition) => condition !== 'removed')
  }

  /** The container is gone: nothing else will ever happen to it. */
  removed(record: ContainerRecord): void {
    // As with Docker, the removal itself went well, whatever the container's last error was.
    this.#settle({ ...record, state: { ...record.state, error: '' } }, () => true)
  }

  #settle(record: ContainerRecord, holds: (condition: WaitCondition) => boolean): void {
    for (const waiting of this.#waiting) {
      if (!holds(waiting.condition)) continue
      this.#waiting.delete(waiting)
      waiting.resolve(resultOf(record))
    }
  }
}

export function isRunning({ state }: ContainerRecord): boolean {
  return state.status === 'running' || state.status === 'paused' || state.status === 'restarting'
}

function resultOf({ state }: ContainerRecord): WaitResult {
  return { statusCode: state.exitCode, ...(state.error !== '' && { error: state.error }) }
}
