/** A client of a container's (or an exec's) stdio: one channel of the connection to its shim. */
import { HoldfastError } from '@holdfast/errors'
import { encodeClose, encodeStream, encodeWindow, ReceiveWindow, SendQueue } from '@holdfast/protocol'
import type { ChannelFrame, CloseReason, StreamName } from '@holdfast/protocol'

export interface AttachQuery {
  stdin?: boolean
  stdout?: boolean
  stderr?: boolean
  /** Replay the log first, then go on live: no gap, no repeat. */
  logs?: boolean
}

export interface OutputChunk {
  stream: 'stdout' | 'stderr'
  data: Buffer
}

export class ShimAttachment {
  readonly #channel: number
  readonly #sendFrame: (frame: Uint8Array) => void
  readonly #input: SendQueue
  readonly #window = new ReceiveWindow()
  readonly #queue: OutputChunk[] = []
  readonly #closed = Promise.withResolvers<{ lagged: boolean }>()
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  /** `sendFrame`: onto the connection, whose frames for this channel are given to `receive`. */
  constructor(channel: number, sendFrame: (frame: Uint8Array) => void) {
    this.#channel = channel
    this.#sendFrame = sendFrame
    this.#input = new SendQueue((stream, payload) => sendFrame(encodeStream(channel, stream, payload)))
  }

  /** Resolves when the channel is over; true when the shim gave this client up because it read too slowly. */
  get closed(): Promise<{ lagged: boolean }> {
    return this.#closed.promise
  }

  /** In the order in which the container wrote. Ends when the streams have ended; throws when the connection broke. */
  get output(): AsyncIterable<OutputChunk> {
    return { [Symbol.asyncIterator]: () => ({ next: () => this.#next(), return: () => this.#stop() }) }
  }

  /** Resolves when the shim has room for it; it makes none while the container doesn't read. */
  async write(data: Uint8Array): Promise<void> {
    if (this.#ended) throw this.#error ?? new HoldfastError('HF_SHIM_LOST', 'the streams have ended')
    if (data.length === 0) return
    this.#input.push('stdin', data)
    await this.#input.whenIdle()
  }

  /** End of input, after what was written. */
  end(): void {
    void this.#input.whenIdle().then(() => {
      if (!this.#ended) this.#sendFrame(encodeStream(this.#channel, 'stdin', new Uint8Array(0)))
    })
  }

  /** Detaches; the container goes on. */
  close(): void {
    if (this.#ended) return
    this.#sendFrame(encodeClose(this.#channel, 'detached'))
    this.#over('detached')
  }

  receive(frame: ChannelFrame): void {
    if (this.#ended) return // it crossed our goodbye
    if (frame.kind === 'window') this.#input.grant(frame.bytes)
    else if (frame.kind === 'close') this.#over(frame.reason)
    else this.#take(frame.kind, frame.payload)
  }

  /** The connection is gone. */
  lost(error: HoldfastError): void {
    if (this.#ended) return
    this.#error = error
    this.#over('detached')
  }

  #take(stream: StreamName, payload: Uint8Array): void {
    if (stream === 'stdin') return
    this.#window.received(payload.length)
    this.#queue.push({ stream, data: Buffer.from(payload.buffer, payload.byteOffset, payload.length) })
    this.#wake?.()
  }

  #over(reason: CloseReason): void {
    this.#ended = true
    if (reason === 'lagged') this.#error = new HoldfastError('HF_SHIM_LOST', 'this client read too slowly')
    this.#input.drop()
    this.#wake?.()
    this.#closed.resolve({ lagged: reason === 'lagged' })
  }

  async #next(): Promise<IteratorResult<OutputChunk>> {
    for (;;) {
      const chunk = this.#queue.shift()
      if (chunk) {
        const room = this.#window.taken(chunk.data.length)
        if (room > 0 && !this.#ended) this.#sendFrame(encodeWindow(this.#channel, room))
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
