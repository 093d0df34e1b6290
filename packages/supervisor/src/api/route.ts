import type { Readable, Writable } from 'node:stream'
import type { Duplex } from 'node:stream'
import type { Engine } from '../engine/engine.ts'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'

/** One row of the table of routes. */
export interface Route {
  method: Method
  /** `/containers/{id}/json`; `{name*}` takes slashes too. */
  path: string
  /** The first minor version of the API that has it. */
  since?: number
  /** It takes the connection over: `Upgrade: tcp` is honoured here, and ignored elsewhere. */
  hijacks?: true
  /** `Upgrade: websocket` is needed. */
  webSocket?: true
  handle(call: Call): Promise<void> | void
}

/** One request and the means to answer it. */
export interface Call {
  readonly engine: Engine
  readonly logger: Logger
  /** The version of Holdfast. */
  readonly release: string
  /** Minor number of the API version asked for. */
  readonly api: number
  readonly params: Record<string, string>
  readonly query: URLSearchParams
  /** The client has asked for the connection itself. */
  readonly upgrade: boolean
  header(name: string): string | undefined
  /**
   * The body as JSON, undefined for an empty one. Read once; at most 4 MiB.
   * Throws HF_BAD_REQUEST for what is no JSON, is too long, or comes too slowly.
   */
  json(): Promise<unknown>
  /** The body as it comes, for archives. */
  stream(): Readable
  /** Aborts when the client has gone before the answer was complete. */
  readonly gone: AbortSignal
  send(status: number, value: unknown): void
  sendText(status: number, text: string, headers?: Record<string, string>): void
  empty(status: number): void
  /** Status and headers go out at once; what is written is sent as it comes. */
  begin(status: number, contentType: string): Writable
  /** The connection itself, after `101 UPGRADED` where the client asked for it, else after a bare 200. */
  hijack(contentType: string): Hijacked
}

export interface Hijacked {
  socket: Duplex
  /** What the client has sent of its stream already. */
  head: Buffer
}

/** The part of pino that is used here. */
export interface Logger {
  error(context: object, message: string): void
  warn(context: object, message: string): void
  debug(context: object, message: string): void
}
