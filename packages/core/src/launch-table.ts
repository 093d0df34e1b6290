/**
 * Writes the launcher's flat table (its layout: `launcher/table.h`). A step is begun with `step` and its fields follow;
 * descriptors go by name and become numbers of the launcher's own table when the launch is made.
 */
import { bad, checkInteger, checkUnsigned64 } from './argument.ts'
import { opcodes, type Opcode } from './launch-opcodes.ts'

/** The launcher's descriptors start here: 0 to 2 are stdio, 3 is the table. */
const firstFd = 4
const none = 0xffff_ffff

const modes = { launch: 0, enter: 1, direct: 2 } as const
/** No step sets oom_score_adj: beyond every value that one could set. */
const asItIs = 0x7fff_ffff
const shares = { none: 0, 'stage-one': 1, init: 2 } as const

/** What the launcher has to know before the first step. */
export interface TableHeader {
  /**
   * `launch`: with a keeper that stays. `enter`: the launcher itself waits for the program and ends as it does.
   * `direct`: the init is a child of whoever started the launcher, and nothing else stays.
   */
  mode: keyof typeof modes
  report: string
  /** The directory of the exit record, and the record's name. */
  directory?: string
  record?: string
  /** The keeper's end of the channel on which it is entrusted with the door and the console. */
  trust?: string
  /** A cgroup v2 directory in which everything but the keeper is born. */
  cgroup?: string
  /** What the keeper keeps from the start, beside `directory` and `trust`. */
  keep?: readonly string[]
  /**
   * Which of the processes may share the launcher's memory instead of copying it: `init` too only where it executes its
   * program soon. The launcher decides; nobody can tell but by the time that it takes.
   */
  share?: keyof typeof shares
  /**
   * It waits for a byte on the report channel before it does anything, and finds its last step, which the table lacks, in
   * the word to go on at a silent door.
   */
  waits?: boolean
}

/** What comes with that word: the rest is the program. */
export const maxProgram = 65_536 - 1

/** The launcher's table of steps, written one field after another; launch-opcodes.ts has the steps. */
export class TableWriter {
  #bytes = Buffer.allocUnsafe(4096)
  #length = 0
  #steps = 0
  /** Where the current step's payload size is to be written. */
  #sizeAt = -1
  readonly #names = new Map<string, number>()
  /** The launcher needs the host's procfs, or its own timens_offsets, opened before it enters anything. */
  needsProc = false
  needsTimeOffsets = false
  /** What the steps set it to: the value of processes that share memory is one. */
  oomScoreAdj: number | undefined
  /** So many steps, the first ones, are the launcher's own, before anybody shares its memory or has a copy. */
  earlySteps = 0
  /** A later step can't be done by a process that shares its memory. */
  needsOwnMemory = false

  /** Names of the descriptors in the order of their numbers, which start at 4. */
  get descriptors(): readonly string[] {
    return [...this.#names.keys()]
  }

  /** How many steps were begun. */
  get steps(): number {
    return this.#steps
  }

  step(opcode: Opcode): this {
    this.#endStep()
    this.#steps++
    this.#u32(opcodes[opcode])
    this.#sizeAt = this.#length
    this.#u32(0)
    return this
  }

  u32(value: number): this {
    this.#u32(checkInteger(value, 'number', 0, 0xffff_ffff))
    return this
  }

  /** Signed, in two's complement. */
  i32(value: number): this {
    this.#u32(checkInteger(value, 'number', -0x8000_0000, 0x7fff_ffff) >>> 0)
    return this
  }

  u64(value: number | bigint): this {
    this.#room(8)
    this.#length = this.#bytes.writeBigUInt64LE(checkUnsigned64(value, 'number'), this.#length)
    return this
  }

  flag(value: boolean): this {
    this.#u32(value ? 1 : 0)
    return this
  }

  text(value: string): this {
    if (value.includes('\0')) throw bad('text', `must not contain a NUL byte: ${JSON.stringify(value)}`)
    const size = Buffer.byteLength(value)
    this.#u32(size)
    this.#room(size + 1)
    this.#length += this.#bytes.write(value, this.#length)
    this.#bytes[this.#length++] = 0
    return this
  }

  texts(values: readonly string[]): this {
    this.#u32(values.length)
    for (const value of values) this.text(value)
    return this
  }

  bytes(value: Uint8Array): this {
    this.#u32(value.length)
    this.#room(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  /** A descriptor by name; without one, -1. */
  fd(name: string | undefined): this {
    this.#u32(this.#numberOrNone(name))
    return this
  }

  /** The steps alone, as the launcher reads them; they name no descriptor. */
  stepBytes(): Buffer {
    this.#endStep()
    return this.#bytes.subarray(0, this.#length)
  }

  /** The finished table. `descriptors` then names all that the launch must be given, in order. */
  finish(header: TableHeader): Buffer {
    this.#endStep()
    const body = this.#bytes.subarray(0, this.#length)
    const head = new TableWriter()
    const keep = [...(header.keep ?? [])]
    for (const name of [header.directory, header.trust]) if (name !== undefined) keep.push(name)
    // Ascending: the keeper closes what lies between them.
    const kept = keep.map((name) => this.#number(name)).sort((a, b) => a - b)
    head.u32(this.#steps).u32(modes[header.mode])
    if (header.cgroup !== undefined) this.#number(header.cgroup)
    for (const name of [header.report, header.directory, header.trust]) head.#u32(this.#numberOrNone(name))
    head.u32(this.firstSlot)
    head.u32(kept.length)
    for (const number of kept) head.#u32(number)
    head
      .text(header.record ?? '')
      .flag(this.needsProc)
      .flag(this.needsTimeOffsets)
    head.#u32(this.#numberOrNone(header.cgroup))
    head.u32(shares[this.needsOwnMemory ? 'none' : (header.share ?? 'none')])
    head.i32(this.oomScoreAdj ?? asItIs)
    head.u32(this.earlySteps)
    head.flag(header.waits === true)
    const prefix = Buffer.alloc(8)
    prefix.write('HFT1')
    prefix.writeUInt32LE(8 + head.#length + body.length, 4)
    return Buffer.concat([prefix, head.#bytes.subarray(0, head.#length), body])
  }

  /** The number in the launcher's table of a descriptor that was named. */
  numberOf(name: string): number {
    const number = this.#names.get(name)
    if (number === undefined) throw bad('descriptor', `was never named: ${name}`)
    return number
  }

  /** Where the keeper puts what it is entrusted with: above all descriptors. Only valid once all are named. */
  get firstSlot(): number {
    return firstFd + this.#names.size
  }

  #numberOrNone(name: string | undefined): number {
    return name === undefined ? none : this.#number(name)
  }

  #number(name: string): number {
    let number = this.#names.get(name)
    if (number === undefined) this.#names.set(name, (number = firstFd + this.#names.size))
    return number
  }

  #u32(value: number): void {
    this.#room(4)
    this.#length = this.#bytes.writeUInt32LE(value, this.#length)
  }

  #room(size: number): void {
    if (this.#length + size <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + size))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }

  #endStep(): void {
    if (this.#sizeAt >= 0) this.#bytes.writeUInt32LE(this.#length - this.#sizeAt - 4, this.#sizeAt)
    this.#sizeAt = -1
  }
}
