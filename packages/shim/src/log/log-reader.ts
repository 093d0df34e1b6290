/** Reads a log that is still being written, from a position on, for a client that catches up. */
import { closeSync, openSync, readSync } from 'node:fs'
import { HoldfastError } from '@holdfast/errors'
import { parseEntry } from '@holdfast/protocol'
import { logPaths } from './log-file.ts'
import type { OutputStream } from './log-encoder.ts'
import type { JsonLog, LogPosition } from './log-writer.ts'

export interface LogSource {
  log: JsonLog
  maxFile: number
}

export interface LogChunk {
  stream: OutputStream
  text: Buffer
}

const blockSize = 64 * 1024
const newline = 0x0a

export class LogReader {
  readonly #source: LogSource
  readonly #ahead: Record<OutputStream, number>
  #generation: number
  #offset: number
  #fd: number
  #carry: Buffer = Buffer.alloc(0)

  constructor(source: LogSource, from: LogPosition | 'start') {
    this.#source = source
    const { log, maxFile } = source
    const old = logPaths(log.file.path, maxFile).length - 1
    const { generation, offset, ahead } =
      from === 'start'
        ? { generation: log.file.generation - old, offset: 0, ahead: { stdout: 0, stderr: 0 } }
        : from
    this.#generation = generation
    this.#offset = offset
    this.#ahead = { ...ahead }
    this.#fd = this.#open()
  }

  /** Some entries; empty where the block held no whole one; undefined at the end of what is written. */
  next(): LogChunk[] | undefined {
    const { file } = this.#source.log
    const block = Buffer.allocUnsafe(blockSize)
    let length = readSync(this.#fd, block, 0, blockSize, this.#offset)
    while (length === 0) {
      if (this.#generation === file.generation) return undefined
      this.#generation++
      this.#offset = 0
      const next = this.#open() // throws where that one is gone already: this one is still to be closed then
      closeSync(this.#fd)
      this.#fd = next
      length = readSync(this.#fd, block, 0, blockSize, 0)
    }
    this.#offset += length
    return this.#parse(Buffer.concat([this.#carry, block.subarray(0, length)]))
  }

  /** After the end: what the log holds back for want of a line end. */
  rest(): LogChunk[] {
    const { partials } = this.#source.log
    return (['stdout', 'stderr'] as const).flatMap((stream) => {
      const text = this.#cut(stream, Buffer.from(partials[stream]))
      return text.length > 0 ? [{ stream, text }] : []
    })
  }

  close(): void {
    closeSync(this.#fd)
  }

  #parse(bytes: Buffer): LogChunk[] {
    const chunks: LogChunk[] = []
    let start = 0
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, start)) {
      const entry = parseEntry(bytes, start, end)
      start = end + 1
      const text = entry && this.#cut(entry.stream, entry.text)
      if (entry && text && text.length > 0) chunks.push({ stream: entry.stream, text })
    }
    this.#carry = bytes.subarray(start)
    return joined(chunks)
  }

  /** Takes off what the client had before it fell behind. */
  #cut(stream: OutputStream, text: Buffer): Buffer {
    const cut = Math.min(this.#ahead[stream], text.length)
    this.#ahead[stream] -= cut
    return text.subarray(cut)
  }

  #open(): number {
    const { file } = this.#source.log
    const back = file.generation - this.#generation
    if (back >= this.#source.maxFile) throw new HoldfastError('HF_SHIM_LOST', 'the log was rotated away')
    return openSync(back === 0 ? file.path : `${file.path}.${back}`, 'r')
  }
}

/** Neighbours of one stream as one chunk: a frame for each line would cost far more than the line. */
function joined(chunks: LogChunk[]): LogChunk[] {
  const result: LogChunk[] = []
  for (let index = 0; index < chunks.length;) {
    const { stream } = chunks[index]!
    let end = index + 1
    while (chunks[end]?.stream === stream) end++
    result.push({ stream, text: Buffer.concat(chunks.slice(index, end).map((each) => each.text)) })
    index = end
  }
  return result
}
