/** A client of a container's (or an exec's) stdio, through its shim. */
import type { IncomingMessage } from 'node:http'
import { WebSocket } from 'ws'
import { HoldfastError } from '@holdfast/errors'
import { decodeStream, encodeStream, maxStreamChunk } from '@holdfast/protocol'

export interface AttachQuery {
  stdin?: boolean
  stdout?: boolean
  stderr?: boolean
  /** Replay the log first, then go on live: no gap, no repeat. */
  logs?: boolean
  /** An exec's stdio instead of the container's; attach before `exec.start`. */
  execId?: string
}

export interface OutputChunk {
  stream: 'stdout' | 'stderr'
  data: Buffer
}

/** Chunks that wait for the reader beyond this many bytes stop the connection, and with it the shim's sending. */
const highWater = 1 << 20

export class ShimAttachment {
  readonly #socket: WebSocket
  readonly #queue: OutputChunk[] = []
  #queued = 0
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined
  /** Resolves when the connection is over; true when the shim gave this client up because it read too slowly. */
  readonly closed: Promise<{ lagged: boolean }>

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.binaryType = 'nodebuffer'
    socket.on('message', (frame: Buffer) => this.#onFrame(frame))
    socket.on('error', (error) => (this.#error = error))
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        this.#ended = true
        if (code === 1013) this.#error = new HoldfastError('HF_SHIM_LOST', 'this client read too slowly')
        else if (code !== 1000 && code !== 1005)
          this.#error ??= new HoldfastError('HF_SHIM_LOST', 'the shim is gone')
        this.#wake?.()
        resolve({ lagged: code === 1013 })
      })
    })
  }

  static open(socket: WebSocket): Promise<ShimAttachment> {
    return new Promise((resolve, reject) => {
      // Made before the handshake ends: output may follow it in the same packet.
      const attachment = new ShimAttachment(socket)
      socket.once('open', () => resolve(attachment))
      socket.once('unexpected-response', (_request, response) => {
        void readRefusal(response)
          .then(reject, reject)
          .finally(() => socket.terminate())
      })
      socket.once('error', (cause) => {
        reject(new HoldfastError('HF_SHIM_LOST', `the shim takes no client: ${cause.message}`, { cause }))
      })
    })
  }

  /** In the order in which the container wrote. Ends when the streams have ended; throws when the connection broke. */
  get output(): AsyncIterable<OutputChunk> {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#next(), return: () => this.#stop() }) }
  }

  /** Resolves when the kernel has taken the chunk; the shim stops reading while the container doesn't. */
  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += maxStreamChunk) {
      const frame = encodeStream('stdin', data.subarray(at, at + maxStreamChunk))
      await new Promise<void>((resolve, reject) =>
        this.#socket.send(frame, { binary: true }, (error) => (error ? reject(error) : resolve())),
      )
    }
  }

  /** End of input. */
  end(): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return
    this.#socket.send(encodeStream('stdin', new Uint8Array(0)), { binary: true })
  }

  /** Detaches; the container goes on. */
  close(): void {
    this.#socket.resume()
    this.#socket.close(1000)
  }

  #onFrame(frame: Buffer): void {
    const { stream, payload } = decodeStream(frame)
    if (stream === 'stdin') return
    const data = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
    this.#queue.push({ stream, data })
    this.#queued += data.length
    if (this.#queued >= highWater) this.#socket.pause()
    this.#wake?.()
  }

  async #next(): Promise<IteratorResult<OutputChunk>> {
    for (;;) {
      const chunk = this.#queue.shift()
      if (chunk) {
        this.#queued -= chunk.data.length
        if (this.#socket.isPaused && this.#queued < highWater / 2) this.#socket.resume()
        return { done: false, value: chunk }
      }
      if (this.#error) throw this.#error
      if (this.#ended) return { done: true, value: undefined }
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = undefined
    }
  }

  async #stop(): Promise<IteratorResult<OutputChunk>> {
    this.close()
    return { done: true, value: undefined }
  }
}

/** The error in the body of an answer that isn't 101. */
export async function readRefusal(response: IncomingMessage): Promise<HoldfastError> {
  let body = ''
  for await (const chunk of response) body += String(chunk)
  try {
    return HoldfastError.fromJSON(JSON.parse(body))
  } catch {
    const text = `the shim refused the connection (${response.statusCode}): ${body.slice(0, 200)}`
    return new HoldfastError('HF_PROTOCOL', text)
  }
}
