import { HoldfastError } from '@holdfast/errors'
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { Readable, type Duplex, type Writable } from 'node:stream'
import { readJsonBody } from './request-body.ts'
import type { Call, Hijacked } from './route.ts'
import { RoutedCall, type Service, type Target } from './routed-call.ts'
import { rawHead, standardHeaders } from './standard-headers.ts'

/** A request with `Upgrade: tcp` to attach or exec: the connection is ours from the start. */
export class UpgradeCall extends RoutedCall implements Call {
  readonly upgrade = true
  readonly socket: Duplex
  #head: Buffer
  #begun = false

  constructor(service: Service, target: Target, connection: UpgradedConnection) {
    super(service, target, connection.request)
    this.socket = connection.socket
    this.#head = connection.head
  }

  async json(): Promise<unknown> {
    return await readJsonBody(await this.#body(), this.request.headers)
  }

  stream(): Readable {
    throw new HoldfastError('HF_BAD_REQUEST', 'this request cannot be upgraded')
  }

  get head(): Buffer {
    return this.#head
  }

  get begun(): boolean {
    return this.#begun
  }

  breakOff(): void {
    this.socket.destroy()
  }

  empty(status: number): void {
    this.answer(status, undefined, '')
  }

  begin(): Writable {
    throw new HoldfastError('HF_BAD_REQUEST', 'this request cannot be upgraded')
  }

  hijack(contentType: string): Hijacked {
    this.#begun = true
    const head = { 'Content-Type': contentType, Connection: 'Upgrade', Upgrade: 'tcp' }
    this.socket.write(rawHead('101 UPGRADED', { ...head, ...standardHeaders(this.release) }))
    return { socket: this.socket, head: this.#head }
  }

  protected watchClient(): AbortSignal {
    const controller = new AbortController()
    this.socket.once('close', () => controller.abort())
    return controller.signal
  }

  /** An answer that is no upgrade; the connection ends with it. */
  protected answer(
    status: number,
    type: string | undefined,
    body: string,
    headers: Record<string, string> = {},
  ): void {
    this.#begun = true
    const all = {
      ...standardHeaders(this.release),
      ...(type === undefined ? {} : { 'Content-Type': type }),
      'Content-Length': String(Buffer.byteLength(body)),
      Connection: 'close',
      ...headers,
    }
    this.socket.end(rawHead(`${status} ${STATUS_CODES[status] ?? 'Unknown'}`, all) + body)
  }

  /**
   * The body comes before the stream, on the same connection. Node from 24.12 and 26 on parses it and gives it out by
   * the request; before that it lies in `head` and in what the socket brings next, mixed with the stream.
   */
  async #body(): Promise<Readable> {
    const length = Number(this.request.headers['content-length'] ?? 0)
    const unparsed = this.socket instanceof Socket && this.request.readableLength === 0
    if (length === 0 || !unparsed) return this.request
    const wanted = await takeBytes(this.socket, this.#head, length)
    this.#head = wanted.rest
    return Readable.from([wanted.taken], { objectMode: false })
  }
}

export interface UpgradedConnection {
  request: IncomingMessage
  socket: Duplex
  head: Buffer
}

/** Exactly `length` bytes off a stream that goes on, and what came with them beyond. */
function takeBytes(socket: Duplex, head: Buffer, length: number): Promise<{ taken: Buffer; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let bytes = head
    const done = () => {
      if (bytes.length < length) return false
      socket.pause()
      socket.off('data', onData).off('close', onClose).off('end', onClose)
      resolve({ taken: bytes.subarray(0, length), rest: bytes.subarray(length) })
      return true
    }
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      done()
    }
    const onClose = () => {
      reject(new HoldfastError('HF_BAD_REQUEST', 'the client went away in the middle of the body'))
    }
    if (done()) return
    socket.on('data', onData).on('close', onClose).on('end', onClose)
  })
}
