/** One client's streams, on its control connection (docs/protocol.md). */
import type { WebSocket } from 'ws'
import { HoldfastError } from '@holdfast/errors'
import { encodeClose, encodeStream, encodeWindow, ReceiveWindow, SendQueue } from '@holdfast/protocol'
import type { ChannelFrame, CloseReason } from '@holdfast/protocol'
import type { OutputStream } from '../log/log-encoder.ts'

/** Resolves when the payload was taken; an empty one is the end of input. */
export type TakeInput = (payload: Uint8Array) => Promise<void> | void

/** How long a client is waited for whose output has not been seen to end. */
const unfinishedMs = 10_000

export class Channel {
  readonly #id: number
  readonly #socket: WebSocket
  readonly #queue: SendQueue
  readonly #window = new ReceiveWindow()
  readonly #early: Uint8Array[] = []
  #takeInput: TakeInput | undefined
  #onGone: (() => void)[] = []
  #open = true
  /** No more output will come: it closes by itself when the client has been sent what there is. */
  #ending = false
  /** Bytes that the client has taken, ever. */
  #progress = 0

  constructor(id: number, socket: WebSocket) {
    this.#id = id
    this.#socket = socket
    this.#queue = new SendQueue((stream, payload) => this.#sendFrame(encodeStream(id, stream, payload)))
  }

  /** Whether the client is still there and was told of no end. */
  get open(): boolean {
    return this.#open
  }

  /** Bytes that the client has not taken yet. */
  get onItsWay(): number {
    return this.#queue.onItsWay
  }

  send(stream: OutputStream, payload: Uint8Array): void {
    if (this.#open) this.#queue.push(stream, payload)
  }

  /** Resolves when all was handed to the connection, or the client has gone. */
  whenSent(): Promise<void> {
    return this.#queue.whenIdle()
  }

  /** To be called when the output has ended, which may be long before the client has read it. */
  willEnd(): void {
    this.#ending = true
  }

  /**
   * Resolves when there is nothing more to wait for: the client has everything, or has gone, or has taken nothing for
   * `patienceMs` and is given up.
   */
  async whenOver(patienceMs: number): Promise<void> {
    if (!this.#ending) return await this.#within(unfinishedMs, this.whenSent())
    const gone = new Promise<void>((resolve) => this.onGone(resolve))
    while (this.#open) {
      const before = this.#progress
      await this.#within(patienceMs, gone)
      if (this.#progress === before) this.close('lagged')
    }
  }

  async #within(ms: number, event: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, ms)
    await Promise.race([event, late.promise])
    clearTimeout(timer)
  }

  /** Says goodbye after what was sent. */
  end(): void {
    if (this.#queue.idle) this.close('ended')
    else void this.whenSent().then(() => this.close('ended'))
  }

  /** Says goodbye at once: what waits is dropped. */
  close(reason: CloseReason): void {
    if (!this.#open) return
    this.#sendFrame(encodeClose(this.#id, reason))
    this.gone()
  }

  /** What comes in from now on, and what has come already. */
  onInput(take: TakeInput): void {
    this.#takeInput = take
    for (const payload of this.#early.splice(0)) void this.#take(payload)
  }

  onGone(listener: () => void): void {
    if (this.#open) this.#onGone.push(listener)
    else listener()
  }

  /** Throws HF_PROTOCOL for a frame that the client may not send. */
  receive(frame: ChannelFrame): void {
    if (frame.kind === 'window') {
      this.#progress += frame.bytes
      return this.#queue.grant(frame.bytes)
    }
    if (frame.kind === 'close') return this.gone()
    if (frame.kind !== 'stdin') throw new HoldfastError('HF_PROTOCOL', `${frame.kind} goes to clients`)
    this.#window.received(frame.payload.length)
    if (this.#takeInput) void this.#take(frame.payload)
    else this.#early.push(frame.payload)
  }

  /** It has left, or its connection is gone. */
  gone(): void {
    if (!this.#open) return
    this.#open = false
    this.#queue.drop()
    for (const listener of this.#onGone.splice(0)) listener()
  }

  async #take(payload: Uint8Array): Promise<void> {
    await this.#takeInput?.(payload)
    const room = this.#window.taken(payload.length)
    if (room > 0 && this.#open) this.#sendFrame(encodeWindow(this.#id, room))
  }

  #sendFrame(frame: Uint8Array): void {
    this.#socket.send(frame, { binary: true })
  }
}
