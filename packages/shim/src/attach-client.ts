/**
 * One client of an output: live, or catching up from the log. It holds at most `maxBuffered` bytes here; a client that
 * reads more slowly than the container writes goes on from the log at its own pace, or is given up where there is none.
 */
import { WebSocket } from 'ws'
import { encodeStream } from '@holdfast/protocol'
import type { OutputStream } from './log-encoder.ts'
import type { LogPosition } from './log-writer.ts'
import { LogReader, type LogSource } from './log-reader.ts'

export const maxBuffered = 4 << 20
/** While catching up no more than this is on its way. */
const replayWindow = 256 * 1024

export type Wanted = Record<OutputStream, boolean>

export class AttachClient {
  readonly #socket: WebSocket
  readonly #wanted: Wanted
  readonly #log: LogSource | undefined
  #reader: LogReader | undefined
  #finished = false

  /** `from`: replay the log from there before going on live. */
  constructor(socket: WebSocket, wanted: Wanted, log: LogSource | undefined, from?: LogPosition | 'start') {
    this.#socket = socket
    this.#wanted = wanted
    this.#log = log
    if (log && from !== undefined) this.#catchUp(new LogReader(log, from))
  }

  /** `frame` is `bytes` as a frame, shared by all clients; `before`: where the log stood without them. */
  publish(stream: OutputStream, frame: Uint8Array, before: LogPosition | undefined): void {
    if (this.#reader || !this.#wanted[stream] || this.#socket.readyState !== WebSocket.OPEN) return
    if (this.#socket.bufferedAmount + frame.length <= maxBuffered) {
      this.#socket.send(frame, { binary: true })
    } else if (this.#log && before) {
      this.#catchUp(new LogReader(this.#log, before))
    } else {
      this.#socket.close(1013, 'this client reads too slowly')
    }
  }

  /** No more output will come: closes with 1000 once everything was sent. */
  finish(): void {
    this.#finished = true
    if (!this.#reader) this.#socket.close(1000)
  }

  #catchUp(reader: LogReader): void {
    this.#reader = reader
    this.#replay(reader).then(
      () => {},
      (error: unknown) => {
        reader.close()
        // Its place in the log was rotated away, or the log can't be read.
        this.#socket.close(1013, error instanceof Error ? error.message.slice(0, 100) : 'the log is gone')
      },
    )
  }

  async #replay(reader: LogReader): Promise<void> {
    for (;;) {
      if (this.#socket.readyState !== WebSocket.OPEN) return reader.close()
      const chunks = reader.next()
      if (!chunks) break
      for (const { stream, text } of chunks) if (this.#wanted[stream]) await this.#send(stream, text)
    }
    // No await from here on: nothing can be logged between the reader's end and the first live chunk.
    for (const { stream, text } of reader.rest()) {
      if (this.#wanted[stream]) this.#socket.send(encodeStream(stream, text), { binary: true })
    }
    reader.close()
    this.#reader = undefined
    if (this.#finished) this.#socket.close(1000)
  }

  async #send(stream: OutputStream, text: Uint8Array): Promise<void> {
    const frame = encodeStream(stream, text)
    if (this.#socket.bufferedAmount < replayWindow) {
      this.#socket.send(frame, { binary: true })
      return
    }
    await new Promise<void>((resolve) => this.#socket.send(frame, { binary: true }, () => resolve()))
  }
}
