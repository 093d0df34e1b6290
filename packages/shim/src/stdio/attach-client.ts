/**
 * One client of an output: live, or catching up from the log. It holds at most `maxBuffered` bytes here; a client that
 * reads more slowly than the container writes goes on from the log at its own pace, or is given up where there is none.
 */
import { streamWindow } from '@holdfast/protocol'
import type { Channel } from './channel.ts'
import type { OutputStream } from '../log/log-encoder.ts'
import type { LogPosition } from '../log/log-writer.ts'
import { LogReader, type LogSource } from '../log/log-reader.ts'

const maxBuffered = 4 << 20

export type Wanted = Record<OutputStream, boolean>

export class AttachClient {
  readonly #channel: Channel
  readonly #wanted: Wanted
  readonly #log: LogSource | undefined
  #reader: LogReader | undefined
  #finished = false

  /** `from`: replay the log from there before going on live. */
  constructor(channel: Channel, wanted: Wanted, log: LogSource | undefined, from?: LogPosition | 'start') {
    this.#channel = channel
    this.#wanted = wanted
    this.#log = log
    if (log && from !== undefined) this.#catchUp(new LogReader(log, from))
  }

  /** `before`: where the log stood without `bytes`. */
  publish(stream: OutputStream, bytes: Uint8Array, before: LogPosition | undefined): void {
    if (this.#reader || !this.#wanted[stream] || !this.#channel.open) return
    if (this.#channel.onItsWay + bytes.length <= maxBuffered) {
      this.#channel.send(stream, bytes)
    } else if (!this.#log || !before || !this.#catchUpFrom(this.#log, before)) {
      this.#channel.close('lagged')
    }
  }

  /** False where that place in the log is gone: these very bytes may have had it rotated. */
  #catchUpFrom(log: LogSource, position: LogPosition): boolean {
    let reader: LogReader
    try {
      reader = new LogReader(log, position)
    } catch {
      return false
    }
    this.#catchUp(reader)
    return true
  }

  /** No more output will come: the channel ends once everything was sent. */
  finish(): void {
    this.#finished = true
    this.#channel.willEnd()
    if (!this.#reader) this.#channel.end()
  }

  #catchUp(reader: LogReader): void {
    this.#reader = reader
    this.#replay(reader).catch(() => {
      reader.close()
      this.#channel.close('lagged') // its place in the log was rotated away, or the log can't be read
    })
  }

  async #replay(reader: LogReader): Promise<void> {
    for (;;) {
      if (!this.#channel.open) return reader.close()
      const chunks = reader.next()
      if (!chunks) break
      for (const { stream, text } of chunks) if (this.#wanted[stream]) await this.#send(stream, text)
    }
    // No await from here on: nothing can be logged between the reader's end and the first live chunk.
    for (const { stream, text } of reader.rest()) {
      if (this.#wanted[stream]) this.#channel.send(stream, text)
    }
    reader.close()
    this.#reader = undefined
    if (this.#finished) this.#channel.end()
  }

  /** While catching up no more than a window and this is on its way. */
  async #send(stream: OutputStream, text: Uint8Array): Promise<void> {
    this.#channel.send(stream, text)
    if (this.#channel.onItsWay >= streamWindow) await this.#channel.whenSent()
  }
}
