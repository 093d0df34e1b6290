/**
 * From the container's pipes into its log, each byte exactly once, whenever the shim is killed (SIGKILL included):
 *
 *   1. splice(2) moves a chunk from the pipe to the end of the stream's journal, a file: one call, so the chunk is in
 *      one of the two and never in both or neither.
 *   2. A checkpoint says which chunk is about to be written, where in the log, and with which time.
 *   3. The entries are appended.
 *   4. A checkpoint says that the chunk is done; the journal is cut.
 *
 * A new shim that finds bytes in the journal beyond the last checkpoint writes them again in the same way: the same
 * chunk at the same time gives the same entries, and the log's size tells how many of them had got there.
 */
import { existsSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { fionread, readFd, readFdInto } from '@holdfast/core'
import type { LogSpec } from '@holdfast/protocol'
import { nowRfc3339 } from '../clock.ts'
import { Journal } from './log-journal.ts'
import { CheckpointFile, type Checkpoint, type PendingChunk } from './log-checkpoint.ts'
import { LogEncoder, type OutputStream, type Partials } from './log-encoder.ts'
import { LogFile } from './log-file.ts'

/** As much as a pipe holds by default. */
const chunkSize = 64 * 1024

const checkpointName = 'log.checkpoint'

/** Where a reader of the log goes on who has been given all output so far. */
export interface LogPosition {
  generation: number
  offset: number
  /** Bytes of each stream that the reader has and the log has not. */
  ahead: Record<OutputStream, number>
}

/** Bytes are valid until the next call. */
export type TakenChunk = Uint8Array | 'later' | 'end'

/** Where output goes before anyone attached sees it. */
export interface OutputLog {
  /** Entries that a full disk has cost. */
  readonly dropped: number
  /**
   * Takes what is in the pipe, and logs it. `later`: nothing there now. `hangup`: poll(2) has said that nobody holds
   * the pipe's other end any more.
   */
  take(stream: OutputStream, pipe: number, hangup: boolean): TakenChunk
  /** The streams have ended. */
  finish(): void
  close(): void
}

/** Log driver `none`. */
/**
 * What is in it has been taken before anybody else writes to it. One for all, and not filled: each page of it is an
 * exception of the processor's at its first touch.
 */
let forNobody: Buffer | undefined

export class NoLog implements OutputLog {
  readonly dropped = 0

  take(_stream: OutputStream, pipe: number): TakenChunk {
    forNobody ??= Buffer.allocUnsafeSlow(chunkSize)
    const length = readFdInto(pipe, forNobody)
    return length === undefined ? 'later' : length === 0 ? 'end' : forNobody.subarray(0, length)
  }

  finish(): void {}
  close(): void {}
}

/** What a kill left of a chunk: these many bytes of its entries are in the log. */
interface Recovery {
  written: number
}

interface Chunk {
  stream: OutputStream
  bytes: Uint8Array
  time: string
}

/** What a log needs once there is output. */
interface Ledger {
  journals: Record<OutputStream, Journal>
  checkpoints: CheckpointFile
}

export class JsonLog implements OutputLog {
  readonly file: LogFile
  readonly #dir: string
  /** Opened for the first output: a container that says nothing, as most do at first, costs no files. */
  #ledger: Ledger | undefined
  readonly #encoder = new LogEncoder()
  readonly #warn: (message: string) => void
  #warned = false
  dropped = 0

  /** `dir`: the shim's directory, for the journals and their checkpoints. `warn` is called at most once. */
  constructor(dir: string, spec: LogSpec & { driver: 'json-file' }, warn: (message: string) => void) {
    this.#dir = dir
    this.#warn = warn
    this.file = new LogFile(spec)
    if (existsSync(`${dir}/${checkpointName}`)) this.#open()
  }

  get partials(): Partials {
    return this.#encoder.partials
  }

  position(): LogPosition {
    const { stdout, stderr } = this.#encoder.partials
    const ahead = { stdout: stdout.length, stderr: stderr.length }
    return { generation: this.file.generation, offset: this.file.size, ahead }
  }

  take(stream: OutputStream, pipe: number, hangup: boolean): TakenChunk {
    if (!this.#ledger && fionread(pipe) === 0) return hangup ? 'end' : 'later'
    const journal = this.#open().journals[stream]
    let length: number | undefined
    try {
      length = journal.moveFrom(pipe, chunkSize)
    } catch (error) {
      if (!hasCode(error, 'ENOSPC', 'EDQUOT')) throw error
      return this.#takeWithoutJournal(stream, pipe)
    }
    if (length === undefined) return 'later'
    if (length === 0) return 'end'
    const bytes = journal.read()
    this.#write({ stream, bytes, time: nowRfc3339() })
    return bytes
  }

  finish(): void {
    for (const stream of ['stdout', 'stderr'] as const) this.#finishStream(stream, nowRfc3339())
  }

  close(): void {
    this.#ledger?.checkpoints.close()
    for (const journal of Object.values(this.#ledger?.journals ?? {})) journal.close()
    this.file.close()
  }

  #open(): Ledger {
    if (this.#ledger) return this.#ledger
    const { file: checkpoints, last } = CheckpointFile.open(`${this.#dir}/${checkpointName}`)
    const [stdout, stderr] = ['stdout', 'stderr'].map(
      (stream) => new Journal(`${this.#dir}/${stream}.journal`),
    )
    const ledger = (this.#ledger = { checkpoints, journals: { stdout: stdout!, stderr: stderr! } })
    if (last) this.#recover(ledger, last)
    for (const journal of Object.values(ledger.journals)) journal.reset()
    this.#commit()
    return ledger
  }

  #write(chunk: Chunk, recovery?: Recovery): void {
    const journal = this.#open().journals[chunk.stream]
    if (this.file.room <= 0) this.file.rotate()
    this.#encoder.encode({ ...chunk, room: this.file.room }, this.#appender(chunk, recovery))
    journal.end += chunk.bytes.length
    this.#commit()
    journal.cut()
  }

  #finishStream(stream: OutputStream, time: string, recovery?: Recovery): void {
    if (this.#encoder.partials[stream].length === 0) return
    this.#encoder.finish({ stream, time, room: this.file.room }, this.#appender({ stream, time }, recovery))
    this.#commit()
  }

  /** Appends the pieces of one chunk's entries, each behind a checkpoint of its own. */
  #appender({ stream, time }: Omit<Chunk, 'bytes'>, recovery?: Recovery): (entries: Uint8Array) => number {
    const partials = { ...this.#encoder.partials }
    let done = 0
    return (entries) => {
      const skip = Math.min(entries.length, Math.max(0, (recovery?.written ?? 0) - done))
      done += skip
      const piece = entries.subarray(skip)
      if (piece.length > 0) {
        if (this.file.room <= 0) this.file.rotate()
        const { ino, size: offset } = this.file
        this.#checkpoint(partials, { stream, time, done, length: piece.length, ino, offset })
        this.#append(piece)
        done += piece.length
      }
      if (this.file.room <= 0) this.file.rotate()
      return this.file.room
    }
  }

  #append(entries: Uint8Array): void {
    if (this.file.append(entries)) return
    for (const byte of entries) if (byte === 0x0a) this.dropped++
    this.#warnOnce(`the log ${this.file.path} lies on a full disk: lines are being dropped`)
  }

  /** The shim's own directory is full too: the container goes on, without the promise of exactly once. */
  #takeWithoutJournal(stream: OutputStream, pipe: number): TakenChunk {
    const bytes = readFd(pipe, chunkSize)
    if (bytes === undefined) return 'later'
    if (bytes.length === 0) return 'end'
    this.#warnOnce(`no room is left beside the checkpoints of ${this.file.path}`)
    this.#encoder.encode({ stream, bytes, time: nowRfc3339(), room: this.file.room }, (entries) => {
      this.#append(entries)
      if (this.file.room <= 0) this.file.rotate()
      return this.file.room
    })
    this.#commit()
    return bytes
  }

  #warnOnce(message: string): void {
    if (!this.#warned) this.#warn(message)
    this.#warned = true
  }

  #commit(): void {
    this.#checkpoint(this.#encoder.partials)
  }

  #checkpoint(partials: Partials, pending?: PendingChunk): void {
    const { journals, checkpoints } = this.#open()
    const { stdout, stderr } = journals
    const ends = { stdout: stdout.end, stderr: stderr.end }
    checkpoints.write({ ends, partials, dropped: this.dropped, ...(pending && { pending }) })
  }

  #recover({ journals }: Ledger, last: Checkpoint): void {
    this.dropped = last.dropped
    this.#encoder.partials = last.partials
    const { pending } = last
    const recovery = pending && { written: this.#writtenOf(pending) }
    // The interrupted chunk first: its partials are the checkpoint's. At most one of the two journals has bytes.
    for (const stream of ['stdout', 'stderr'] as const) {
      const journal = journals[stream]
      journal.end = last.ends[stream]
      const bytes = journal.read()
      if (pending?.stream === stream && bytes.length === 0) this.#finishStream(stream, pending.time, recovery)
      else if (pending?.stream === stream) this.#write({ stream, bytes, time: pending.time }, recovery)
      else if (bytes.length > 0) this.#write({ stream, bytes, time: nowRfc3339() })
    }
  }

  /** How many bytes of the chunk's entries got into the log; what is torn is cut off. */
  #writtenOf({ done, length, ino, offset }: PendingChunk): number {
    // Another file is there now: it was rotated, which comes after the piece was complete.
    if (this.file.ino !== ino || this.file.size >= offset + length) return done + length
    if (this.file.size > offset) this.file.truncate(offset)
    return done
  }
}
