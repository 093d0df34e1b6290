/**
 * How far the log got, in a form that survives a kill at any moment: two slots, written in turn, each with a sequence
 * number at both ends. A slot that was cut short by SIGKILL doesn't count, and the other one is still whole.
 *
 *     slot:  u32 sequence · u32 length · JSON header, stdout partial, stderr partial · u32 sequence
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { maxLogText } from '@holdfast/protocol'
import { noPartials, type OutputStream, type Partials } from './log-encoder.ts'

export interface Checkpoint {
  /** What each journal has up to here is done with. */
  ends: Record<OutputStream, number>
  /** Text of each stream that waits for its line end, before `pending` and after it. */
  partials: Partials
  dropped: number
  /** The chunk that is being written: it starts in its stream's journal at that end. */
  pending?: PendingChunk
}

export interface PendingChunk {
  stream: OutputStream
  time: string
  /** Of the chunk's entries, these many bytes were complete before the piece that is being appended … */
  done: number
  /** … which has these many bytes … */
  length: number
  /** … and goes into the file with this inode, at this offset. */
  ino: number
  offset: number
}

const slotSize = 8 + 1024 + 2 * maxLogText + 4

export class CheckpointFile {
  readonly #fd: number
  #sequence = 0
  #buffer: Buffer | undefined

  /** The last whole checkpoint, or undefined where there is none yet. */
  static open(path: string): { file: CheckpointFile; last: Checkpoint | undefined } {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    const file = new CheckpointFile(fd)
    const last = file.#read()
    // All its room is taken now, so that a file system that fills up later can't stop it.
    if (!last) writeSync(fd, Buffer.alloc(2 * slotSize), 0, 2 * slotSize, 0)
    return { file, last }
  }

  private constructor(fd: number) {
    this.#fd = fd
  }

  write(checkpoint: Checkpoint): void {
    const { partials, ...header } = checkpoint
    this.#buffer ??= Buffer.allocUnsafeSlow(slotSize)
    const slot = this.#buffer
    const sequence = (this.#sequence = (this.#sequence + 1) % 0xffff_ffff)
    const json = JSON.stringify({ ...header, stdout: partials.stdout.length, stderr: partials.stderr.length })
    let at = slot.writeUInt32LE(sequence, 0)
    at = 8 + slot.write(json, 8, 'latin1')
    slot.writeUInt32LE(json.length, 4)
    slot.set(partials.stdout, at)
    slot.set(partials.stderr, at + partials.stdout.length)
    at = slot.writeUInt32LE(sequence, at + partials.stdout.length + partials.stderr.length)
    writeSync(this.#fd, slot, 0, at, (sequence % 2) * slotSize)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #read(): Checkpoint | undefined {
    const slots = [0, 1].flatMap((index) => {
      const slot = Buffer.alloc(slotSize)
      const length = readSync(this.#fd, slot, 0, slotSize, index * slotSize)
      const found = readSlot(slot.subarray(0, length))
      return found ? [found] : []
    })
    const [first, second] = slots
    const last = !first || (second && isLater(second.sequence, first.sequence)) ? second : first
    this.#sequence = last?.sequence ?? 0
    return last?.checkpoint
  }
}

function isLater(one: number, other: number): boolean {
  return (one - other + 0xffff_ffff) % 0xffff_ffff < 0x7fff_ffff
}

function readSlot(slot: Buffer): { sequence: number; checkpoint: Checkpoint } | undefined {
  if (slot.length < 12) return undefined
  const sequence = slot.readUInt32LE(0)
  const headerEnd = 8 + slot.readUInt32LE(4)
  if (sequence === 0 || headerEnd > slot.length - 4) return undefined
  let header: Omit<Checkpoint, 'partials'> & { stdout: number; stderr: number }
  try {
    header = JSON.parse(slot.toString('latin1', 8, headerEnd))
  } catch {
    return undefined // cut short
  }
  const { stdout, stderr, ...rest } = header
  const end = headerEnd + stdout + stderr
  if (end > slot.length - 4 || slot.readUInt32LE(end) !== sequence) return undefined
  const partials: Partials = {
    stdout: stdout === 0 ? noPartials.stdout : slot.subarray(headerEnd, headerEnd + stdout),
    stderr: stderr === 0 ? noPartials.stderr : slot.subarray(headerEnd + stdout, end),
  }
  return { sequence, checkpoint: { ...rest, partials } }
}
