/** Control connections: requests in, answers and events out. */
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { errorToJson, parseRequest, protocolVersion } from '@holdfast/protocol'
import type { Method, RequestFrame, Requests, ShimEvent } from '@holdfast/protocol'
import { Channels } from './stdio/channels.ts'

/** A function for every method; `hello` is the connection's own. Streams are given through the asker's channels. */
export type Handlers = {
  [M in Exclude<Method, 'hello'>]: (
    params: Requests[M]['params'],
    channels: Channels,
  ) => Promise<Requests[M]['result']>
}

export class Control {
  readonly #handlers: Handlers
  readonly #onAnswered: (method: Method) => void
  readonly #greeted = new Map<WebSocket, Channels>()
  /** What each writes to. */
  readonly #wires = new Map<WebSocket, Duplex>()

  /** `onAnswered` is called when an answer without an error has been handed to the socket. */
  constructor(handlers: Handlers, onAnswered: (method: Method) => void) {
    this.#handlers = handlers
    this.#onAnswered = onAnswered
  }

  /** `wire`: what the WebSocket writes to. */
  accept(socket: WebSocket, wire: Duplex): void {
    this.#wires.set(socket, wire)
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.#onBinary(socket, data)
      else void this.#onMessage(socket, data.toString())
    })
    socket.on('close', () => {
      this.#greeted.get(socket)?.gone()
      this.#greeted.delete(socket)
      this.#wires.delete(socket)
    })
  }

  /** How many there are to tell. */
  broadcast(event: ShimEvent): number {
    const text = JSON.stringify(event)
    for (const socket of this.#greeted.keys()) {
      this.#gather(socket)
      socket.send(text)
    }
    return this.#greeted.size
  }

  /** Sends what `#gather` holds back. */
  flush(): void {
    for (const wire of this.#wires.values()) while (wire.writableCorked > 0) wire.uncork()
  }

  /** Says goodbye to everyone, after what there is for their channels, unless nothing is taken for `patienceMs`. */
  async close(patienceMs: number): Promise<void> {
    const goodbyes = [...this.#greeted].map(async ([socket, channels]) => {
      await channels.whenOver(patienceMs)
      socket.close(1000)
    })
    await Promise.all(goodbyes)
  }

  #onBinary(socket: WebSocket, data: Buffer): void {
    try {
      this.#greeted.get(socket)?.receive(data)
    } catch (error) {
      this.#onMalformed(socket, error)
    }
  }

  async #onMessage(socket: WebSocket, text: string): Promise<void> {
    let request: RequestFrame
    try {
      request = parseRequest(text)
    } catch (error) {
      this.#onMalformed(socket, error)
      return
    }
    const { id, method } = request
    try {
      const result = await this.#answer(socket, request)
      this.#gather(socket)
      socket.send(JSON.stringify({ id, result }), () => this.#onAnswered(method))
    } catch (error) {
      socket.send(JSON.stringify({ id, error: errorToJson(error) }))
    }
  }

  #answer(socket: WebSocket, { method, params }: RequestFrame): Promise<unknown> {
    if (method === 'hello') return this.#hello(socket, params as Requests['hello']['params'])
    const channels = this.#greeted.get(socket)
    if (!channels) throw new HoldfastError('HF_PROTOCOL', 'the first request must be hello')
    const handler = this.#handlers[method] as (params: unknown, channels: Channels) => Promise<unknown>
    return handler(params, channels)
  }

  async #hello(
    socket: WebSocket,
    { protocol }: Requests['hello']['params'],
  ): Promise<Requests['hello']['result']> {
    if (protocol !== protocolVersion) {
      throw new HoldfastError(
        'HF_PROTOCOL',
        `this shim speaks protocol ${protocolVersion}, not ${protocol}`,
        {
          hint: 'Containers of an older version keep running; stop them with the version that started them.',
        },
      )
    }
    const channels = this.#greeted.get(socket) ?? new Channels(socket)
    // Before the state is drawn: an event may come twice, in it and after it, and never not at all.
    this.#greeted.set(socket, channels)
    return { protocol: protocolVersion, state: await this.#handlers.state({}, channels) }
  }

  /** What is said in one turn of the event loop goes out in one write: whoever listens is woken once. */
  #gather(socket: WebSocket): void {
    const wire = this.#wires.get(socket)
    if (wire === undefined || wire.writableCorked > 0) return
    wire.cork()
    setImmediate(() => wire.uncork()) // which may have been done
  }

  /** A request that can be answered is; anything else ends the connection. */
  #onMalformed(socket: WebSocket, error: unknown): void {
    const id = error instanceof HoldfastError ? error.details?.['id'] : undefined
    if (hasCode(error, 'HF_BAD_REQUEST') && typeof id === 'number') {
      socket.send(JSON.stringify({ id, error: errorToJson(error) }))
    } else {
      socket.close(1002, error instanceof Error ? error.message.slice(0, 120) : 'malformed')
    }
  }
}
