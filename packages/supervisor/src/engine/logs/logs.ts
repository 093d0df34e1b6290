/** Reads a container's log back: all of it or its tail, within times, and on as it grows. */
import { watch } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FrameOptions, LogEntry, LogOptions, LogStream } from '../engine.ts'
import { findTail, isCurrent, newerThan, openLogFiles } from './log-files.ts'
import { decodeLine, headroom, newLine, timeLength, type DecodedLine } from './log-line.ts'
import { parseTime } from '../time.ts'

const chunkSize = 1 << 20

/** A line that is longer than this is damage, and skipped. */
const maxLine = 4 << 20

const newline = 0x0a

/** What is read at once: whole lines. `[from, to)` of `data`. */
interface Block {
  data: Buffer
  from: number
  to: number
}

/** `ended` resolves when the container has stopped and its log is complete: a follower then reads to the end and is done. */
export function readLog(path: string, options: LogOptions, ended: Promise<void>): LogStream {
  return {
    frames: (how) => frames(path, options, ended, how),
    [Symbol.asyncIterator]: () => entries(path, options, ended)[Symbol.asyncIterator](),
  }
}

/** Comes first, empty: what there is can be read. */
const opened: Block = { data: Buffer.alloc(0), from: 0, to: 0 }

async function* frames(
  path: string,
  options: LogOptions,
  ended: Promise<void>,
  how: FrameOptions,
): AsyncIterable<Buffer> {
  for await (const block of blocks(path, options, ended)) {
    const { data, finished } = renderBlock(block, options, how)
    if (data.length > 0 || block === opened) yield data
    if (finished) return
  }
}

/** A block of the file as the bytes that Docker's logs endpoint sends. They are fewer than the file's. */
function renderBlock(
  { data, from, to }: Block,
  options: LogOptions,
  how: FrameOptions,
): { data: Buffer; finished: boolean } {
  const output = Buffer.allocUnsafe(to - from + headroom)
  const line = newLine()
  let end = 0
  for (let at = from; at < to;) {
    let stop = data.indexOf(newline, at)
    if (stop < 0 || stop > to) stop = to
    const headerEnd = how.multiplexed ? end + 8 : end
    // The time stands behind the text in the file and before it in the answer: leave room for the usual length.
    const room = how.timestamps ? timeLength(data, stop) + 1 : 0
    // Of details there are none yet, but the blank that sets them off from the text.
    const gap = how.details ? 1 : 0
    decodeLine(data, at, stop, output, headerEnd + room + gap, line)
    at = stop + 1
    if (line.stream === 0 || !(line.stream === 1 ? options.stdout : options.stderr)) continue
    const verdict = withinTimes(data, line, options)
    if (verdict === 'after') return { data: output.subarray(0, end), finished: true }
    if (verdict === 'before') continue
    if (how.details) output[headerEnd + room] = 0x20
    if (how.timestamps) writeTime(output, headerEnd, room, data, line)
    if (how.multiplexed) writeHeader(output, end, line.stream, line.end - headerEnd)
    end = line.end
  }
  return { data: output.subarray(0, end), finished: false }
}

async function* entries(path: string, options: LogOptions, ended: Promise<void>): AsyncIterable<LogEntry> {
  for await (const { data, from, to } of blocks(path, options, ended)) {
    const line = newLine()
    for (let at = from; at < to;) {
      let stop = data.indexOf(newline, at)
      if (stop < 0 || stop > to) stop = to
      const text = Buffer.allocUnsafe(stop - at)
      decodeLine(data, at, stop, text, 0, line)
      at = stop + 1
      if (line.stream === 0 || !(line.stream === 1 ? options.stdout : options.stderr)) continue
      const verdict = withinTimes(data, line, options)
      if (verdict === 'after') return
      if (verdict === 'before') continue
      const stream = line.stream === 1 ? 'stdout' : 'stderr'
      yield { stream, time: timeOf(data, line), data: text.subarray(0, line.end) }
    }
  }
}

/** Whole lines from where the options say on, file by file, and on as the log grows. */
async function* blocks(path: string, options: LogOptions, ended: Promise<void>): AsyncIterable<Block> {
  // Watch first: what is written between the last read and the watch would be noticed too late otherwise.
  const growth = options.follow ? new Growth(path, ended, options.signal) : undefined
  const wasOver = growth?.over ?? true
  let files: FileHandle[] = []
  try {
    files = await openLogFiles(path)
    yield opened
    let { index, offset } = options.tail >= 0 ? await findTail(files, options.tail) : { index: 0, offset: 0 }
    for (; index < files.length; index++, offset = 0) {
      const file = files[index]!
      const isLast = index === files.length - 1
      for (;;) {
        const over = growth?.over ?? true
        if (options.signal.aborted) return
        offset = yield* linesFrom(file, offset, options.signal)
        if (!isLast || (over && !(growth && !(await isCurrent(file, path))))) break
        if (await isCurrent(file, path)) {
          await growth?.next()
          continue
        }
        offset = yield* linesFrom(file, offset, options.signal) // what came before the rotation
        const newer = await newerThan(file, path)
        for (const each of files) await each.close()
        files = newer
        index = -1
        break
      }
    }
    // A follower of a container that has not written yet.
    if (files.length === 0 && growth && !wasOver && !options.signal.aborted) {
      await growth.next()
      growth.close()
      yield* blocks(path, { ...options, tail: -1 }, ended)
    }
  } finally {
    growth?.close()
    for (const file of files) await file.close()
  }
}

/** Returns the offset behind the last whole line. The next block is read while this one is worked on. */
async function* linesFrom(
  file: FileHandle,
  start: number,
  signal: AbortSignal,
): AsyncGenerator<Block, number> {
  let offset = start
  let size = chunkSize
  // A block's bytes are copied from before the next one is asked for, so two buffers are enough.
  let [data, spare] = [Buffer.allocUnsafe(size), Buffer.allocUnsafe(size)]
  let pending = file.read(data, 0, size, offset)
  try {
    while (!signal.aborted) {
      const { bytesRead } = await pending
      if (bytesRead === 0) break
      const whole = data.subarray(0, bytesRead).lastIndexOf(newline) + 1
      if (whole > 0) {
        offset += whole
        pending = file.read(spare, 0, spare.length, offset)
        yield { data, from: 0, to: whole }
        ;[data, spare] = [spare, data]
        size = data.length
      } else if (bytesRead < size) {
        break // a line that is being written, or was torn
      } else {
        if (size >= maxLine) offset += bytesRead
        else size *= 4
        data = Buffer.allocUnsafe(size)
        pending = file.read(data, 0, size, offset)
      }
    }
    return offset
  } finally {
    await pending.catch(() => {}) // the file is closed next
  }
}

/** Says when the log may have grown, by inotify on its directory. */
class Growth {
  over = false
  #changed = false
  #wake: (() => void) | undefined
  readonly #watcher: ReturnType<typeof watch>
  readonly #signal: AbortSignal
  readonly #onAbort = (): void => this.#notify()

  constructor(path: string, ended: Promise<void>, signal: AbortSignal) {
    this.#watcher = watch(dirname(path), () => this.#notify())
    this.#watcher.on('error', () => this.#notify()) // the directory is gone: the container was removed
    this.#signal = signal
    signal.addEventListener('abort', this.#onAbort, { once: true })
    void ended.then(() => {
      this.over = true
      this.#notify()
    })
  }

  /** Resolves at the next change, or at once where one was missed. */
  async next(): Promise<void> {
    if (!this.#changed && !this.over && !this.#signal.aborted)
      await new Promise<void>((wake) => (this.#wake = wake))
    this.#wake = undefined
    this.#changed = false
  }

  close(): void {
    this.#watcher.close()
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  #notify(): void {
    this.#changed = true
    this.#wake?.()
  }
}

function writeTime(output: Buffer, at: number, room: number, data: Buffer, line: DecodedLine): void {
  const time = timeOf(data, line)
  if (time.length + 1 !== room) {
    // The text was put elsewhere than where it belongs: move it.
    output.copyWithin(at + time.length + 1, at + room, line.end)
    line.end += time.length + 1 - room
  }
  output.write(time, at, 'latin1')
  output[at + time.length] = 0x20
}

/** Docker's stream header: the stream, three zeros, and the length as a big-endian 32-bit number. */
function writeHeader(output: Buffer, at: number, stream: number, length: number): void {
  output[at] = stream
  output[at + 1] = output[at + 2] = output[at + 3] = 0
  output[at + 4] = length >>> 24
  output[at + 5] = length >>> 16
  output[at + 6] = length >>> 8
  output[at + 7] = length
}

function timeOf(data: Buffer, line: DecodedLine): string {
  return line.timeText ?? data.toString('latin1', line.timeStart, line.timeEnd)
}

function withinTimes(
  data: Buffer,
  line: DecodedLine,
  { since, until }: LogOptions,
): 'before' | 'within' | 'after' {
  if (since === undefined && until === undefined) return 'within'
  const time = parseTime(timeOf(data, line)) ?? 0n
  if (since !== undefined && time < since) return 'before'
  return until !== undefined && time > until ? 'after' : 'within'
}
