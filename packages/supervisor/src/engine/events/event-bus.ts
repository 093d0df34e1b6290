import type { EngineEvent, EventFilter } from './events.ts'
import { nowNanoseconds } from '../time.ts'

/** How many past events `since` can reach. */
const historyLength = 1024

/** A subscriber that is this far behind is let go rather than kept in memory without bound. */
const maxBacklog = 16_384

/** Engine events: the recent past, and whoever listens. */
export class EventBus {
  readonly #history: EngineEvent[] = []
  readonly #subscribers = new Set<Subscriber>()

  publish(type: EngineEvent['Type'], action: string, id: string, attributes: Record<string, string>): void {
    const timeNano = nowNanoseconds()
    const event: EngineEvent = {
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: 'local',
      time: Number(timeNano / 1_000_000_000n),
      timeNano,
    }
    this.#history.push(event)
    if (this.#history.length > historyLength) this.#history.shift()
    for (const subscriber of this.#subscribers) subscriber.take(event)
  }

  /**
   * Past events where one of the two is given, from `since` on; then live ones until `until` has passed or `signal` aborts.
   */
  async *subscribe(filter: EventFilter, signal: AbortSignal): AsyncIterable<EngineEvent> {
    const subscriber = new Subscriber(filter)
    const { since, until } = filter
    if (since !== undefined || until !== undefined) {
      for (const event of this.#history) if (event.timeNano >= (since ?? 0n)) subscriber.take(event)
    }
    const end = (): void => subscriber.end()
    const remaining = until === undefined ? undefined : Number((until - nowNanoseconds()) / 1_000_000n)
    if (signal.aborted || (remaining !== undefined && remaining <= 0)) subscriber.end()
    // A timer can't wait longer than 2^31-1 ms; nobody listens for 24 days with an end in sight.
    const timer =
      remaining === undefined ? undefined : setTimeout(end, Math.min(Math.max(remaining, 0), 2 ** 31 - 1))
    signal.addEventListener('abort', end, { once: true })
    this.#subscribers.add(subscriber)
    try {
      yield* subscriber.events()
    } finally {
      this.#subscribers.delete(subscriber)
      signal.removeEventListener('abort', end)
      clearTimeout(timer)
    }
  }
}

class Subscriber {
  readonly #filter: EventFilter
  #queue: EngineEvent[] = []
  #ended = false
  #wake: (() => void) | undefined

  constructor(filter: EventFilter) {
    this.#filter = filter
  }

  take(event: EngineEvent): void {
    if (this.#ended) return
    if (this.#filter.until !== undefined && event.timeNano > this.#filter.until) return
    if (!this.#filter.matches(event)) return
    this.#queue.push(event)
    if (this.#queue.length > maxBacklog) this.end()
    else this.#wake?.()
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  async *events(): AsyncIterable<EngineEvent> {
    for (;;) {
      const batch = this.#queue
      this.#queue = []
      yield* batch
      if (this.#queue.length > 0) continue
      if (this.#ended) return
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = undefined
    }
  }
}
