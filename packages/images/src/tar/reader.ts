/**
 * A streaming tar reader: ustar, pax, GNU. Bytes are pushed in as they come, entries come out through a sink, all
 * synchronously; it holds at most one header's worth of bytes. Every size that the archive states is bounded.
 */
import { HoldfastError } from '@holdfast/errors'
import { corrupt } from './corrupt.ts'
import type { SparsePart, TarEntry, TarSink } from './entry.ts'
import {
  describesFile,
  makeEntry,
  parseHeader,
  storedSize,
  type Preceding,
  type RawHeader,
} from './header.ts'
import { parseGlobalPax, parsePax } from './pax.ts'
import { checkSparseMap, oldGnuExtensionMap, oldGnuHeaderMap, oldGnuParts, parseSparse10 } from './sparse.ts'

export interface TarLimits {
  entries: number
  /** Bytes of one pax header. */
  pax: number
  /** Bytes of a name or a link's target. */
  name: number
  /** Parts of one sparse file. */
  sparseParts: number
}

export const defaultTarLimits: TarLimits = {
  entries: 4_000_000,
  pax: 1 << 20,
  name: 4095,
  sparseParts: 100_000,
}

const blockSize = 512

/** What the next bytes are. */
type State =
  | { kind: 'header' }
  /** A block of zeros was seen; a second one ends the archive. */
  | { kind: 'zero' }
  | { kind: 'body'; flag: string; size: number }
  | { kind: 'old-gnu-map'; raw: RawHeader; map: SparsePart[] }
  | { kind: 'sparse-map'; entry: TarEntry; stored: number; length: number }
  | { kind: 'data' }
  | { kind: 'skip'; left: number }
  | { kind: 'end' }

export class TarReader {
  readonly #sink: TarSink
  readonly #limits: TarLimits
  #state: State = { kind: 'header' }
  #pending: Buffer = Buffer.alloc(0)
  #before: Preceding = {}
  #entries = 0
  /** Parts of the current file still to come, and the padding after it. */
  #parts: SparsePart[] = []
  #part = 0
  #partDone = 0
  #padding = 0

  constructor(sink: TarSink, limits: TarLimits = defaultTarLimits) {
    this.#sink = sink
    this.#limits = limits
  }

  /** Throws HF_CORRUPT_LAYER; the reader is of no use after that. */
  write(chunk: Buffer): void {
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    for (;;) {
      const used = this.#step(bytes)
      if (used === undefined) break
      bytes = bytes.subarray(used)
      if (bytes.length === 0 && this.#state.kind !== 'data' && this.#state.kind !== 'skip') break
    }
    this.#pending = bytes.length === 0 ? bytes : Buffer.from(bytes)
  }

  /** Call it at the end of input: throws where the archive stops in the middle of something. */
  end(): void {
    const { kind } = this.#state
    if (kind === 'end' || kind === 'zero') return
    if (kind !== 'header' || this.#pending.length > 0) throw corrupt('unexpected end')
    if (this.#before.local || this.#before.longName || this.#before.longLink)
      throw corrupt('the last header has no entry')
  }

  /** Takes one thing off `bytes` and says how long it was; undefined where more bytes are needed. */
  #step(bytes: Buffer): number | undefined {
    const state = this.#state
    switch (state.kind) {
      case 'header':
      case 'zero':
        return bytes.length < blockSize ? undefined : this.#header(bytes.subarray(0, blockSize))
      case 'body': {
        const padded = padToBlock(state.size)
        if (bytes.length < padded) return undefined
        this.#body(state.flag, bytes.subarray(0, state.size))
        return padded
      }
      case 'old-gnu-map':
        return bytes.length < blockSize ? undefined : this.#oldGnuMap(state, bytes.subarray(0, blockSize))
      case 'sparse-map':
        return this.#sparseMap(state, bytes)
      case 'data':
        return this.#data(bytes)
      case 'skip': {
        const used = Math.min(state.left, bytes.length)
        state.left -= used
        if (state.left === 0) this.#state = { kind: 'header' }
        else if (used === 0) return undefined
        return used
      }
      case 'end':
        return bytes.length === 0 ? undefined : bytes.length // padding to the record size, or anything: ignored
    }
  }

  #header(block: Buffer): number {
    if (isZero(block)) {
      this.#state = this.#state.kind === 'zero' ? { kind: 'end' } : { kind: 'zero' }
      return blockSize
    }
    if (this.#state.kind === 'zero') throw corrupt('a block of zeros before the end')
    if (++this.#entries > this.#limits.entries) throw corrupt('too many entries')
    const raw = parseHeader(Buffer.from(block))
    if (describesFile(raw)) this.#file(raw)
    else this.#special(raw)
    return blockSize
  }

  #special(raw: RawHeader): void {
    const { flag, size } = raw
    switch (flag) {
      case 'x':
      case 'g':
        if (size > this.#limits.pax) throw corrupt(`a pax header of ${size} bytes`)
        break
      case 'L':
      case 'K':
        if (size > this.#limits.name + 1) throw corrupt(`a name of ${size} bytes`)
        break
      case 'V': // GNU: the volume's label
        this.#skip(padToBlock(size))
        return
      default:
        throw new HoldfastError(
          'HF_CORRUPT_LAYER',
          `invalid tar archive: unknown entry type ${JSON.stringify(flag)}`,
        )
    }
    this.#state = { kind: 'body', flag, size }
  }

  #body(flag: string, body: Buffer): void {
    this.#state = { kind: 'header' }
    const before = this.#before
    switch (flag) {
      case 'x':
        if (before.local) throw corrupt('two pax headers before one entry')
        before.local = parsePax(body)
        return
      case 'g':
        before.global = { ...before.global, ...parseGlobalPax(body) }
        return
      case 'L':
        before.longName = untilNul(body)
        return
      case 'K':
        before.longLink = untilNul(body)
        return
    }
  }

  #file(raw: RawHeader): void {
    if (raw.flag === 'S') {
      const state = { kind: 'old-gnu-map' as const, raw, map: oldGnuParts(raw.block, oldGnuHeaderMap) }
      this.#state = state
      if (raw.block[oldGnuHeaderMap.extended] === 0) this.#startSparse(raw, state.map)
      return
    }
    const sparse = this.#before.local?.sparse
    if (sparse === undefined || raw.flag === '1' || raw.flag === '2') return this.#start(raw)
    if (sparse.major === 1 && sparse.minor === 0) {
      const stored = storedSize(raw, this.#before)
      const entry = this.#take(raw)
      this.#state = { kind: 'sparse-map', entry, stored, length: blockSize }
      return
    }
    if (sparse.major !== 0) throw corrupt(`sparse format ${sparse.major}.${sparse.minor} is unknown`)
    this.#startSparse(raw, sparse.map)
  }

  #oldGnuMap(state: State & { kind: 'old-gnu-map' }, block: Buffer): number {
    state.map.push(...oldGnuParts(block, oldGnuExtensionMap))
    if (state.map.length > this.#limits.sparseParts) throw corrupt('the sparse map is too long')
    if (block[oldGnuExtensionMap.extended] === 0) this.#startSparse(state.raw, state.map)
    return blockSize
  }

  #sparseMap(state: State & { kind: 'sparse-map' }, bytes: Buffer): number | undefined {
    if (state.length > state.stored + blockSize) throw corrupt('the sparse map is cut off', state.entry.name)
    if (bytes.length < state.length) return undefined
    const map = parseSparse10(bytes.subarray(0, state.length), this.#limits.sparseParts)
    if (map === undefined) {
      // Twice as much each time: the map is parsed again from its start.
      const next = Math.min(state.length * 2, Math.max(padToBlock(state.stored), state.length + blockSize))
      state.length = next
      return 0
    }
    const used = padToBlock(mapLength(bytes, map.length))
    checkSparseMap(map, state.entry.size, state.stored - used, state.entry.name)
    this.#open({ ...state.entry, sparse: map }, map, state.stored - used)
    return used
  }

  #startSparse(raw: RawHeader, map: SparsePart[]): void {
    const stored = storedSize(raw, this.#before)
    const entry = { ...this.#take(raw), sparse: map }
    checkSparseMap(map, entry.size, stored, entry.name)
    this.#open(entry, map, stored)
  }

  #start(raw: RawHeader): void {
    const stored = storedSize(raw, this.#before)
    const entry = this.#take(raw)
    this.#open(entry, stored === 0 ? [] : [{ offset: 0, size: stored }], stored)
  }

  /** Makes the entry, and forgets what belonged to it. */
  #take(raw: RawHeader): TarEntry {
    const entry = makeEntry(raw, this.#before)
    this.#before = this.#before.global ? { global: this.#before.global } : {}
    const { name, linkName } = entry
    if (name.length === 0) throw corrupt('an entry has no name')
    if (name.length > this.#limits.name || linkName.length > this.#limits.name)
      throw corrupt('a name is too long', name)
    if (name.includes(0) || linkName.includes(0)) throw corrupt('a NUL in a name', name)
    return entry
  }

  #open(entry: TarEntry, parts: SparsePart[], stored: number): void {
    this.#parts = parts
    this.#part = 0
    this.#partDone = 0
    this.#padding = padToBlock(stored) - stored
    this.#state = { kind: 'data' }
    this.#sink.entry(entry)
  }

  #data(bytes: Buffer): number | undefined {
    const part = this.#parts[this.#part]
    if (part === undefined) {
      this.#skip(this.#padding)
      this.#sink.entryEnd()
      return 0
    }
    const chunk = bytes.subarray(0, part.size - this.#partDone)
    if (chunk.length > 0) this.#sink.data(chunk, part.offset + this.#partDone)
    this.#partDone += chunk.length
    if (this.#partDone < part.size) return chunk.length === 0 ? undefined : chunk.length
    this.#part++
    this.#partDone = 0
    return chunk.length
  }

  #skip(length: number): void {
    this.#state = length === 0 ? { kind: 'header' } : { kind: 'skip', left: length }
  }
}

function padToBlock(size: number): number {
  return Math.ceil(size / blockSize) * blockSize
}

function isZero(block: Buffer): boolean {
  for (let i = 0; i < blockSize; i++) if (block[i] !== 0) return false
  return true
}

/** GNU ends the name with a NUL; what follows is padding. */
function untilNul(body: Buffer): Buffer {
  const end = body.indexOf(0)
  return Buffer.from(end < 0 ? body : body.subarray(0, end))
}

/** Bytes of a pax 1.0 map: its count and two numbers for each part, one a line. */
function mapLength(bytes: Buffer, parts: number): number {
  let at = 0
  for (let line = 0; line < 1 + 2 * parts; line++) at = bytes.indexOf(0x0a, at) + 1
  return at
}
