/**
 * How a question goes to others. Decisions alone: who carries them out says what became of them, and is told what to
 * do next.
 *
 *   begin ─► ask A (udp) ─ no answer in time ─► ask B (udp) ─ … ─► fail
 *                │                                  │
 *                │ answered, whole ─► reply         │ an answer of A that is late is taken all the same
 *                │ answered, cut off ─► ask A (tcp) ─ it fails ─► reply with what was cut off
 *                │ "I can't" (SERVFAIL, REFUSED, …) ─► ask B; the last one's refusal is the reply
 *                └ not there (ICMP, RST) ─► ask B at once, and A never again
 */
import { isTruncated, responseCode } from './upstream-answer.ts'
import { responseCodes } from './wire.ts'

/** A server that is asked what the table doesn't know. */
export interface Upstream {
  /** Numeric. */
  address: string
  /** Default: 53. */
  port?: number
  /** From whose network it is asked: `container` is the one the resolver serves. Default: `host`. */
  from?: 'host' | 'container'
}

/** How a question came, or is asked. */
export type Transport = 'udp' | 'tcp'

/** What is to be done next about a question. */
export type Action =
  /** Send to that upstream, and say so if it takes longer than `timeoutMs`. */
  | { do: 'ask'; upstream: number; transport: Transport; timeoutMs: number }
  | { do: 'reply'; message: Uint8Array }
  | { do: 'fail' }

export interface ForwardOptions {
  /** Upstreams by number, the one to be asked first first. */
  order: readonly number[]
  /** What the client came by: who came by tcp mostly has had an answer that was cut off. */
  transport: Transport
  timeoutMs: number
  /** How often each is asked. */
  rounds: number
}

/** One question on its way. */
export class Forwarding {
  readonly #options: ForwardOptions
  readonly #tries: number[]
  readonly #gone = new Set<number>()
  /** Questions that may still be answered. */
  #asked = 0
  #over = false
  /** To answer with where nothing better comes. */
  #fallback: Uint8Array | undefined

  constructor(options: ForwardOptions) {
    this.#options = options
    this.#tries = Array.from({ length: options.rounds }, () => options.order).flat()
  }

  begin(): Action {
    return this.#next() ?? this.#end(undefined)
  }

  /** The last one that was asked has not answered in time. */
  timedOut(): Action | undefined {
    return this.#over ? undefined : (this.#next() ?? this.#end(this.#fallback))
  }

  /** It could not be asked, or its network says that nobody is there. */
  failed(upstream: number, transport: Transport): Action | undefined {
    if (this.#over || this.#gone.has(upstream)) return undefined
    if (transport === 'tcp' && this.#fallback && isTruncated(this.#fallback)) return this.#end(this.#fallback)
    return this.#goOnWithout(upstream)
  }

  /** `message` answers this question; it must not change afterwards. */
  answered(upstream: number, transport: Transport, message: Uint8Array): Action | undefined {
    if (this.#over || this.#gone.has(upstream)) return undefined
    if (cannot.has(responseCode(message))) {
      this.#fallback ??= message
      return this.#goOnWithout(upstream)
    }
    if (transport === 'tcp' || !isTruncated(message)) return this.#end(message)
    if (this.#fallback && isTruncated(this.#fallback)) return undefined // it came twice
    this.#fallback = message
    return { do: 'ask', upstream, transport: 'tcp', timeoutMs: this.#options.timeoutMs }
  }

  #goOnWithout(upstream: number): Action | undefined {
    this.#gone.add(upstream)
    this.#asked--
    return this.#next() ?? (this.#asked > 0 ? undefined : this.#end(this.#fallback))
  }

  #next(): Action | undefined {
    for (;;) {
      const upstream = this.#tries.shift()
      if (upstream === undefined) return undefined
      if (this.#gone.has(upstream)) continue
      this.#asked++
      const { transport, timeoutMs } = this.#options
      return { do: 'ask', upstream, transport, timeoutMs }
    }
  }

  #end(message: Uint8Array | undefined): Action {
    this.#over = true
    return message ? { do: 'reply', message } : { do: 'fail' }
  }
}

/** Answers that say nothing of the question: another server may know. */
const cannot = new Set<number>([
  responseCodes.formatError,
  responseCodes.serverFailure,
  responseCodes.notImplemented,
  responseCodes.refused,
])

/** How long one that did not answer is asked last. */
const distrustMs = 30_000

/** Which upstream is asked first: as they were given, but for those that did not answer lately. */
export class UpstreamOrder {
  readonly #failedAt: number[]

  constructor(count: number) {
    this.#failedAt = Array.from({ length: count }, () => -Infinity)
  }

  order(nowMs: number): number[] {
    const failed = (upstream: number) => nowMs - this.#failedAt[upstream]! < distrustMs
    const all = [...this.#failedAt.keys()]
    return [...all.filter((upstream) => !failed(upstream)), ...all.filter(failed)]
  }

  failed(upstream: number, nowMs: number): void {
    this.#failedAt[upstream] = nowMs
  }

  answered(upstream: number): void {
    this.#failedAt[upstream] = -Infinity
  }
}
