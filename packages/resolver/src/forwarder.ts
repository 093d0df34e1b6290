/** Carries out what `Forwarding` decides: sockets to upstream servers, and clocks. */
import { Forwarding, UpstreamOrder, type Action, type Transport, type Upstream } from './forward.ts'
import { frame, FrameReader } from './frames.ts'
import type { Query } from './query.ts'
import type { DnsSockets } from './sockets.ts'
import { answersQuestion } from './upstream-answer.ts'
import { headerSize, read16, write16 } from './wire.ts'

export interface ForwarderOptions {
  sockets: DnsSockets
  /** Descriptor of the container's network namespace. */
  netns: number
  upstreams: readonly Upstream[]
  timeoutMs: number
  rounds: number
}

/** Questions on their way at once. Each has a socket; a container must not use up its resolver's descriptors. */
const mostOpen = 256

export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #order: UpstreamOrder
  readonly #ids = new RandomIds()
  readonly #open = new Set<Exchange>()

  constructor(options: ForwarderOptions) {
    this.#options = options
    this.#order = new UpstreamOrder(options.upstreams.length)
  }

  /** `query` must own its bytes. Calls back once: with the answer, under the client's id, or undefined where none came. */
  forward(query: Query, transport: Transport, onEnd: (message: Uint8Array | undefined) => void): void {
    if (this.#open.size >= mostOpen || this.#options.upstreams.length === 0) {
      onEnd(undefined)
      return
    }
    const shared = { ...this.#options, order: this.#order, ids: this.#ids }
    const exchange = new Exchange(shared, query, (message) => {
      this.#open.delete(exchange)
      onEnd(message)
    })
    this.#open.add(exchange)
    exchange.begin(transport)
  }

  /** Questions on their way end without an answer. */
  close(): void {
    for (const exchange of this.#open) exchange.cancel()
    this.#open.clear()
  }
}

/** Drawn many at once: a draw of two bytes costs as much as one of a hundred. */
class RandomIds {
  readonly #drawn = new Uint16Array(64)
  #used = this.#drawn.length

  next(): number {
    if (this.#used === this.#drawn.length) {
      crypto.getRandomValues(this.#drawn)
      this.#used = 0
    }
    return this.#drawn[this.#used++]!
  }
}

/** What the questions of one forwarder share. */
interface Shared extends ForwarderOptions {
  order: UpstreamOrder
  ids: RandomIds
}

/** One question on its way: every upstream that was asked may still answer, until one has. */
class Exchange {
  readonly #options: Shared
  readonly #order: UpstreamOrder
  readonly #ids: RandomIds
  readonly #query: Query
  readonly #onEnd: (message: Uint8Array | undefined) => void
  readonly #channels: { close(): void }[] = []
  #forwarding: Forwarding | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: Shared, query: Query, onEnd: (message: Uint8Array | undefined) => void) {
    this.#options = options
    this.#order = options.order
    this.#ids = options.ids
    this.#query = query
    this.#onEnd = onEnd
  }

  begin(transport: Transport): void {
    const { timeoutMs, rounds } = this.#options
    const order = this.#order.order(performance.now())
    this.#forwarding = new Forwarding({ order, transport, timeoutMs, rounds })
    this.#carryOut(this.#forwarding.begin())
  }

  cancel(): void {
    clearTimeout(this.#timer)
    for (const channel of this.#channels.splice(0)) channel.close()
  }

  #carryOut(action: Action | undefined): void {
    if (!action) return
    if (action.do !== 'ask') {
      this.cancel()
      this.#onEnd(action.do === 'reply' ? action.message : undefined)
      return
    }
    const { upstream, transport, timeoutMs } = action
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#order.failed(upstream, performance.now())
      this.#carryOut(this.#forwarding!.timedOut())
    }, timeoutMs)
    try {
      this.#channels.push(this.#ask(upstream, transport))
    } catch {
      this.#failed(upstream, transport) // no route, or no descriptor left: another upstream may be better
    }
  }

  #failed(upstream: number, transport: Transport): void {
    this.#order.failed(upstream, performance.now())
    this.#carryOut(this.#forwarding!.failed(upstream, transport))
  }

  #ask(upstream: number, transport: Transport): { close(): void } {
    const { address, port = 53, from = 'host' } = this.#options.upstreams[upstream]!
    const place = { netns: from === 'container' ? this.#options.netns : undefined, address, port }
    // An id and a port (a socket) of its own for each question: an answer can't be guessed by who doesn't see it.
    const message = this.#query.message.slice()
    const id = this.#ids.next()
    write16(message, 0, id)
    const onMessage = (answer: Uint8Array) => this.#onMessage(answer, { id, upstream, transport })
    return transport === 'udp'
      ? this.#askByUdp(place, message, { onMessage, onFailure: () => this.#failed(upstream, transport) })
      : this.#askByTcp(place, message, { onMessage, onFailure: () => this.#failed(upstream, transport) })
  }

  #askByUdp(place: Place, message: Uint8Array, { onMessage, onFailure }: Outcome): { close(): void } {
    const { netns, address, port } = place
    const socket = this.#options.sockets.openDatagrams(
      { netns, connect: { address, port } },
      { onMessage, onError: onFailure },
    )
    if (socket.send(message)) return socket
    socket.close()
    throw new Error('not sent')
  }

  #askByTcp(place: Place, message: Uint8Array, { onMessage, onFailure }: Outcome): { close(): void } {
    const stream = this.#options.sockets.connectIn(place)
    const reader = new FrameReader()
    let open = true
    const fail = () => {
      if (open) onFailure()
      open = false
    }
    stream.on('data', (chunk) => {
      for (const answer of reader.push(chunk) ?? []) if (open) onMessage(answer)
    })
    stream.on('error', fail)
    stream.on('end', fail)
    stream.on('close', fail)
    stream.write(frame(message))
    return {
      close: () => {
        open = false
        stream.destroy()
      },
    }
  }

  /** What doesn't fit the question is no answer to it: the true one may still come. */
  #onMessage(
    received: Uint8Array,
    { id, upstream, transport }: { id: number; upstream: number; transport: Transport },
  ): void {
    if (received.length < headerSize || read16(received, 0) !== id) return
    if (!answersQuestion(received, this.#query)) return
    const message = received.slice()
    write16(message, 0, read16(this.#query.message, 0))
    this.#order.answered(upstream)
    this.#carryOut(this.#forwarding!.answered(upstream, transport, message))
  }
}

interface Place {
  netns: number | undefined
  address: string
  port: number
}

interface Outcome {
  onMessage: (message: Uint8Array) => void
  onFailure: () => void
}
