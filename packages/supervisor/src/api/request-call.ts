import { HoldfastError } from '@holdfast/errors'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import { readJsonBody } from './request-body.ts'
import type { Call, Hijacked } from './route.ts'
import { RoutedCall, type Service, type Target } from './routed-call.ts'
import { rawHead, standardHeaders } from './standard-headers.ts'

/** Bytes of an archive that wait here while the reader is busy. */
const bodyBuffer = 1024 * 1024

/** An ordinary request, answered through Node's ServerResponse; its connection can still be taken over. */
export class RequestCall extends RoutedCall implements Call {
  readonly upgrade = false
  /** Bytes after the body that reached the HTTP parser before the connection was taken over. */
  readonly early: Buffer[] = []
  readonly #response: ServerResponse

  constructor(service: Service, target: Target, request: IncomingMessage, response: ServerResponse) {
    super(service, target, request)
    this.#response = response
  }

  json(): Promise<unknown> {
    return readJsonBody(this.request, this.request.headers)
  }

  /**
   * Not the request itself: destroying that, as a reader does when it gives up, would close the connection under the
   * answer that says why.
   */
  stream(): Readable {
    const request = this.request
    const body = new PassThrough({ highWaterMark: bodyBuffer })
    request.pipe(body)
    request.once('close', () => {
      if (!request.complete)
        body.destroy(new HoldfastError('HF_BAD_REQUEST', 'the client went away in the middle of the body'))
    })
    body.once('close', () => {
      request.unpipe(body)
      request.resume()
    })
    return body
  }

  empty(status: number): void {
    // 204 and 304 have no body by definition; for the others Content-Length says so.
    const length: Record<string, string> = status === 204 || status === 304 ? {} : { 'Content-Length': '0' }
    this.#response.writeHead(status, { ...standardHeaders(this.release), ...length }).end()
  }

  begin(status: number, contentType: string): Writable {
    this.#response.writeHead(status, { ...standardHeaders(this.release), 'Content-Type': contentType })
    this.#response.flushHeaders()
    return this.#response
  }

  get begun(): boolean {
    return this.#response.headersSent
  }

  /** For an answer that fails on the way: the client must not take what it has for the whole. */
  breakOff(): void {
    this.#response.destroy()
  }

  /** Node would take the end of what the client sends for its going: here it is the end of somebody's input. */
  outliveInput(): void {
    const { socket } = this.request
    const onEnd = socket.listeners('end') as (() => void)[]
    socket.removeAllListeners('end')
    this.#response.once('close', () => {
      if (socket.readableEnded) socket.end()
      for (const listener of onEnd) socket.on('end', listener)
    })
  }

  hijack(contentType: string): Hijacked {
    const socket = this.request.socket
    releaseFromHttp(socket)
    socket.write(rawHead('200 OK', { 'Content-Type': contentType, ...standardHeaders(this.release) }))
    return { socket, head: Buffer.concat(this.early) }
  }

  protected answer(status: number, type: string, body: string, headers: Record<string, string> = {}): void {
    this.#response.writeHead(status, {
      ...standardHeaders(this.release),
      'Content-Type': type,
      'Content-Length': String(Buffer.byteLength(body)),
      ...headers,
    })
    this.#response.end(body)
  }

  protected watchClient(): AbortSignal {
    const controller = new AbortController()
    if (this.#response.destroyed) controller.abort()
    this.#response.once('close', () => controller.abort())
    return controller.signal
  }
}

/**
 * Clients that don't ask for an upgrade still expect the raw stream after the headers, unframed by HTTP. Node's
 * server feeds its parser by these listeners; without them the connection is ours. Its `close` listener stays: it
 * frees the parser. Adding a listener for what is read makes Node take the handle back from the parser.
 */
function releaseFromHttp(socket: Socket): void {
  for (const event of ['data', 'end', 'drain', 'timeout', 'error']) socket.removeAllListeners(event)
  socket.on('readable', () => {}) // what comes until somebody reads waits: without it, it went to the parser, or nowhere
  socket.on('error', () => socket.destroy())
  socket.setTimeout(0)
}
