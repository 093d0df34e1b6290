/**
 * Pumps what a process writes: pipe (or terminal) → log → everyone attached. The pipe is read as fast as the log takes
 * it; no client can hold it up.
 */
import { hasCode } from '@holdfast/errors'
import { closeFd, readFd, setNonblocking, splice, watchFd, type Watch } from '@holdfast/core'
import { AttachClient, type Wanted } from './attach-client.ts'
import type { Channel } from './channel.ts'
import { closeLater } from '../close-later.ts'
import type { OutputStream } from '../log/log-encoder.ts'
import { JsonLog, type OutputLog } from '../log/log-writer.ts'
import type { LogSource } from '../log/log-reader.ts'

export interface OutputSource {
  stream: OutputStream
  /** Non-blocking once it is pumped; closed by the pump. */
  fd: number
  /** For a terminal: the pipe that its output is moved through, so that a log can take it from there. */
  relay?: { read: number; write: number }
}

/** Chunks in a row before other events get their turn. */
const burst = 16

export class Output {
  readonly #log: OutputLog
  readonly #source: LogSource | undefined
  readonly #clients = new Set<AttachClient>()
  readonly #pumps = new Map<OutputStream, { source: OutputSource; watch: Watch | undefined }>()
  readonly #lateGoodbye: boolean
  #over = false
  #saidGoodbye = false
  #ended: (() => void) | undefined
  /** Resolves when every stream has ended and the log is complete. */
  readonly ended: Promise<void>

  /** `lateGoodbye`: clients learn of the end by `goodbye`, together with something else that they wait for. */
  constructor(log: OutputLog, { maxFile, lateGoodbye = false }: { maxFile: number; lateGoodbye?: boolean }) {
    this.#log = log
    this.#lateGoodbye = lateGoodbye
    this.#source = log instanceof JsonLog ? { log, maxFile } : undefined
    this.ended = new Promise((resolve) => (this.#ended = resolve))
  }

  /**
   * Starts pumping. With no sources at all the output is over at once. `atOnce`: there may be something, or the end, and
   * nobody waits for the event loop to say so.
   */
  start(sources: OutputSource[], { atOnce = false }: { atOnce?: boolean } = {}): void {
    if (atOnce) this.#lookAt(sources)
    for (const source of sources) {
      if (atOnce && !this.#pumps.has(source.stream)) continue
      const watch = watchFd(source.fd, { readable: true, hangup: true }, ({ hangup }) =>
        this.#pump(source, hangup),
      )
      this.#pumps.set(source.stream, { source, watch })
    }
    if (sources.length === 0) this.#finish()
  }

  attach(channel: Channel, wanted: Wanted, replay: boolean): void {
    const client = new AttachClient(channel, wanted, this.#source, replay ? 'start' : undefined)
    this.#clients.add(client)
    channel.onGone(() => this.#clients.delete(client))
    if (this.#saidGoodbye) client.finish()
  }

  /** After the end: tells everyone, once they have what there was for them. */
  goodbye(): void {
    if (!this.#over || this.#saidGoodbye) return
    this.#saidGoodbye = true
    for (const client of this.#clients) client.finish()
  }

  /**
   * Takes what is there now and ends the output: for when the process is gone but something else holds its
   * pipe. What that still writes is read and forgotten, so that it gets no SIGPIPE.
   */
  finish(): void {
    if (this.#over) return
    for (const { source } of this.#pumps.values()) {
      for (let count = 0; count < burst && this.#takeOne(source); count++);
    }
    this.#finish()
  }

  #pump(source: OutputSource, hangup: boolean): void {
    for (let count = 0; count < burst && this.#pumps.has(source.stream); count++) {
      if (!this.#takeOne(source, hangup)) return
    }
  }

  /** What has ended is no pump any more afterwards. */
  #lookAt(sources: OutputSource[]): void {
    for (const source of sources) this.#pumps.set(source.stream, { source, watch: undefined })
    for (const source of sources) {
      setNonblocking(source.fd)
      this.#pump(source, false)
    }
  }

  /** False: nothing more now, or the stream has ended. */
  #takeOne(source: OutputSource, hangup = false): boolean {
    if (this.#over) return this.#forgetOne(source)
    const before = this.#source?.log.position()
    const ended = source.relay ? this.#relay(source.fd, source.relay.write) : false
    const chunk = this.#log.take(source.stream, source.relay?.read ?? source.fd, hangup && !source.relay)
    if (typeof chunk === 'string') {
      if (ended || chunk === 'end') this.#end(source)
      return false
    }
    for (const client of this.#clients) client.publish(source.stream, chunk, before)
    return true
  }

  #forgetOne(source: OutputSource): boolean {
    try {
      const chunk = readFd(source.fd, 64 * 1024)
      if (chunk === undefined) return false
      if (chunk.length > 0) return true
    } catch (error) {
      if (!hasCode(error, 'EIO')) throw error
    }
    this.#end(source)
    return false
  }

  /** A terminal's output into its pipe. True at the end: EIO says that no process holds the other side any more. */
  #relay(fd: number, pipe: number): boolean {
    try {
      return splice(fd, pipe, 64 * 1024) === 0
    } catch (error) {
      if (hasCode(error, 'EIO')) return true
      throw error
    }
  }

  #end(source: OutputSource): void {
    const pump = this.#pumps.get(source.stream)
    if (!pump) return
    this.#pumps.delete(source.stream)
    pump.watch?.close()
    closeLater(source.fd)
    if (source.relay) {
      closeFd(source.relay.read)
      closeFd(source.relay.write)
    }
    if (this.#pumps.size === 0) this.#finish()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#log.finish()
    if (!this.#lateGoodbye) this.goodbye()
    this.#ended?.()
  }
}
