import type { IncomingMessage } from 'node:http'
import type { Engine } from '../engine/engine.ts'
import type { Logger } from './route.ts'

/** What all calls of one server have in common. */
export interface Service {
  engine: Engine
  logger: Logger
  release: string
}

/** What the request line says. */
export interface Target {
  api: number
  params: Record<string, string>
  query: URLSearchParams
}

/** The part of a `Call` that is the same however its connection is used. */
export abstract class RoutedCall {
  readonly engine: Engine
  readonly logger: Logger
  readonly release: string
  readonly api: number
  readonly params: Record<string, string>
  readonly query: URLSearchParams
  readonly request: IncomingMessage
  #gone: AbortSignal | undefined

  constructor(service: Service, target: Target, request: IncomingMessage) {
    this.engine = service.engine
    this.logger = service.logger
    this.release = service.release
    this.api = target.api
    this.params = target.params
    this.query = target.query
    this.request = request
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name.toLowerCase()]
    return Array.isArray(value) ? value.join(', ') : value
  }

  /** Made when it is asked for: most calls are over at once. */
  get gone(): AbortSignal {
    return (this.#gone ??= this.watchClient())
  }

  send(status: number, value: unknown): void {
    this.answer(status, 'application/json', `${JSON.stringify(value)}\n`)
  }

  sendText(status: number, text: string, headers: Record<string, string> = {}): void {
    this.answer(status, 'text/plain; charset=utf-8', text, headers)
  }

  /** Aborts when the client has gone before the answer was complete. */
  protected abstract watchClient(): AbortSignal

  protected abstract answer(
    status: number,
    type: string,
    body: string,
    headers?: Record<string, string>,
  ): void
}
