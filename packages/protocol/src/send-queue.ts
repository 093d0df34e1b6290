/** The sending half of a channel: what may be sent, and what waits until the other side has made room. */
import { HoldfastError } from '@holdfast/errors'
import { maxStreamChunk, streamWindow, type StreamName } from './channel.ts'

interface Chunk {
  stream: StreamName
  payload: Uint8Array
}

/** Gives to `send` at once what there is room for, and the rest as the other side makes room. */
export class SendQueue {
  readonly #send: (stream: StreamName, payload: Uint8Array) => void
  readonly #waiting: Chunk[] = []
  #room = streamWindow
  #queued = 0
  #idle: (() => void)[] = []

  /** `send` is given chunks of at most `maxStreamChunk` bytes, as many as there is room for. */
  constructor(send: (stream: StreamName, payload: Uint8Array) => void) {
    this.#send = send
  }

  /** Bytes that wait here, and that the other side has not taken yet. */
  get onItsWay(): number {
    return this.#queued + streamWindow - this.#room
  }

  /** Nothing waits here. */
  get idle(): boolean {
    return this.#waiting.length === 0
  }

  /** The payload is the caller's again afterwards: what has to wait is copied. */
  push(stream: StreamName, payload: Uint8Array): void {
    for (let at = 0; at < payload.length; at += maxStreamChunk) {
      const part = payload.subarray(at, at + maxStreamChunk)
      if (this.idle && part.length <= this.#room) {
        this.#room -= part.length
        this.#send(stream, part)
      } else {
        this.#waiting.push({ stream, payload: new Uint8Array(part) })
        this.#queued += part.length
      }
    }
  }

  /** The other side has taken so many bytes. Throws HF_PROTOCOL where it was never sent as many. */
  grant(bytes: number): void {
    if (this.#room + bytes > streamWindow) {
      throw new HoldfastError('HF_PROTOCOL', 'a window was opened for more than was sent')
    }
    this.#room += bytes
    this.#flush()
  }

  /** Resolves when nothing waits any more, sent or dropped. */
  whenIdle(): Promise<void> {
    return this.idle ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve))
  }

  /** What waits will never be sent. */
  drop(): void {
    this.#waiting.length = 0
    this.#queued = 0
    this.#settle()
  }

  #flush(): void {
    let sent = 0
    for (const { stream, payload } of this.#waiting) {
      if (payload.length > this.#room) break
      this.#room -= payload.length
      this.#queued -= payload.length
      sent++
      this.#send(stream, payload)
    }
    this.#waiting.splice(0, sent)
    if (this.idle) this.#settle()
  }

  #settle(): void {
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}
