/** Control connections: requests in, answers and events out. */
import type { WebSocket } from 'ws'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { errorToJson, parseRequest, protocolVersion } from '@holdfast/protocol'
import type { Method, RequestFrame, Requests, ShimEvent } from '@holdfast/protocol'

/** A function for every method; `hello` is the connection's own. */
export type Handlers = {
  [M in Exclude<Method, 'hello'>]: (params: Requests[M]['params']) => Promise<Requests[M]['result']>
}

export class Control {
  readonly #handlers: Handlers
  readonly #onAnswered: (method: Method) => void
  readonly #greeted = new Set<WebSocket>()

  /** `onAnswered` is called when an answer without an error has been handed to the socket. */
  constructor(handlers: Handlers, onAnswered: (method: Method) => void) {
    this.#handlers = handlers
    this.#onAnswered = onAnswered
  }

  accept(socket: WebSocket): void {
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) socket.close(1003, 'control frames are text')
      else void this.#onMessage(socket, data.toString())
    })
    socket.on('close', () => this.#greeted.delete(socket))
  }

  broadcast(event: ShimEvent): void {
    const text = JSON.stringify(event)
    for (const socket of this.#greeted) socket.send(text)
  }

  /** Says goodbye to everyone, after what was sent. */
  close(): void {
    for (const socket of this.#greeted) socket.close(1000)
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
      socket.send(JSON.stringify({ id, result }), () => this.#onAnswered(method))
    } catch (error) {
      socket.send(JSON.stringify({ id, error: errorToJson(error) }))
    }
  }

  #answer(socket: WebSocket, { method, params }: RequestFrame): Promise<unknown> {
    if (method === 'hello') return this.#hello(socket, params as Requests['hello']['params'])
    if (!this.#greeted.has(socket)) throw new HoldfastError('HF_PROTOCOL', 'the first request must be hello')
    const handler = this.#handlers[method] as (params: unknown) => Promise<unknown>
    return handler(params)
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
    this.#greeted.add(socket) // before the state is drawn: an event may come twice, in it and after it, and never not at all
    return { protocol: protocolVersion, state: await this.#handlers.state({}) }
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
