/**
 * pax extended headers: records `LENGTH KEY=VALUE\n` that say what the ustar fields can't hold.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_03
 */
import { corrupt } from './corrupt.ts'
import type { SparsePart, Timestamp } from './entry.ts'

export interface PaxHeader {
  path?: Buffer
  linkpath?: Buffer
  size?: number
  uid?: number
  gid?: number
  mtime?: Timestamp
  xattrs: Map<string, Buffer>
  sparse?: PaxSparse
}

/** GNU tar's sparse files in pax archives: formats 0.0 and 0.1 have the map here, 1.0 has it before the data. */
interface PaxSparse {
  major: number
  minor: number
  name?: Buffer
  realSize?: number
  map: SparsePart[]
}

const xattrPrefix = 'SCHILY.xattr.'

/** Reads the body of an `x` header. */
export function parsePax(body: Buffer): PaxHeader {
  const header: PaxHeader = { xattrs: new Map() }
  const sparse = new SparseRecords()
  for (const [key, value] of records(body)) applyRecord(header, sparse, key, value)
  const found = sparse.result()
  if (found) header.sparse = found
  return header
}

/**
 * Reads the body of a `g` header, which holds for every later entry. A name, a size or attributes in it would give
 * many files the same one, which no writer does: refused, since readers differ in what they make of it.
 */
export function parseGlobalPax(body: Buffer): PaxHeader {
  for (const [key] of records(body)) {
    if (key === 'path' || key === 'linkpath' || key === 'size' || /^(GNU\.sparse|SCHILY\.xattr)\./.test(key))
      throw corrupt(`${JSON.stringify(key)} in a global header`)
  }
  return parsePax(body)
}

function* records(body: Buffer): Generator<[string, Buffer]> {
  let at = 0
  while (at < body.length) {
    const space = body.indexOf(0x20, at)
    const digits = space < 0 ? '' : body.toString('latin1', at, Math.min(space, at + 20))
    if (!/^[0-9]{1,10}$/.test(digits)) throw corrupt('a pax record has no length')
    const end = at + Number(digits)
    if (end <= space + 1 || end > body.length || body[end - 1] !== 0x0a)
      throw corrupt('a pax record is cut off')
    const equals = body.indexOf(0x3d, space)
    if (equals <= space + 1 || equals >= end) throw corrupt('a pax record has no key')
    const key = body.toString('latin1', space + 1, equals)
    if (key.includes('\0')) throw corrupt('a NUL in the key of a pax record')
    yield [key, body.subarray(equals + 1, end - 1)]
    at = end
  }
}

function applyRecord(header: PaxHeader, sparse: SparseRecords, key: string, value: Buffer): void {
  switch (key) {
    case 'path':
    case 'linkpath':
      if (value.includes(0)) throw corrupt(`a NUL in pax ${key}`, value)
      // An empty value takes a record back.
      if (value.length > 0) header[key] = Buffer.from(value)
      else delete header[key]
      return
    case 'size':
    case 'uid':
    case 'gid':
      if (value.length > 0) header[key] = decimal(value, `pax ${key}`)
      else delete header[key]
      return
    case 'mtime':
      if (value.length > 0) header.mtime = timestamp(value)
      else delete header.mtime
      return
  }
  if (key.startsWith(xattrPrefix)) {
    const name = Buffer.from(key.slice(xattrPrefix.length), 'latin1').toString('utf8')
    header.xattrs.set(name, Buffer.from(value))
  } else if (key.startsWith('GNU.sparse.')) {
    sparse.add(key.slice('GNU.sparse.'.length), value)
  }
}

class SparseRecords {
  private readonly values = new Map<string, Buffer>()
  private readonly map: SparsePart[] = []
  private offset: number | undefined

  add(key: string, value: Buffer): void {
    // Format 0.0 repeats this pair for each part, so the order of the records matters.
    if (key === 'offset') this.offset = decimal(value, 'GNU.sparse.offset')
    else if (key === 'numbytes') {
      if (this.offset === undefined) throw corrupt('GNU.sparse.numbytes without an offset')
      this.map.push({ offset: this.offset, size: decimal(value, 'GNU.sparse.numbytes') })
      this.offset = undefined
    } else this.values.set(key, Buffer.from(value))
  }

  result(): PaxSparse | undefined {
    if (this.values.size === 0 && this.map.length === 0) return undefined
    const count = (key: string) => {
      const value = this.values.get(key)
      return value === undefined ? undefined : decimal(value, `GNU.sparse.${key}`)
    }
    const inOneRecord = this.values.get('map')
    const map = inOneRecord === undefined ? this.map : parseMap(inOneRecord)
    const stated = count('numblocks')
    if (stated !== undefined && stated !== map.length)
      throw corrupt('the sparse map has another length than stated')
    const realSize = count('realsize') ?? count('size')
    const name = this.values.get('name')
    if (name?.includes(0)) throw corrupt('a NUL in GNU.sparse.name', name)
    return {
      major: count('major') ?? 0,
      minor: count('minor') ?? 0,
      map,
      ...(name !== undefined && name.length > 0 && { name }),
      ...(realSize !== undefined && { realSize }),
    }
  }
}

function parseMap(value: Buffer): SparsePart[] {
  if (value.length === 0) return []
  const numbers = value.toString('latin1').split(',')
  if (numbers.length % 2 !== 0) throw corrupt('GNU.sparse.map has an odd number of values')
  const map: SparsePart[] = []
  for (let i = 0; i < numbers.length; i += 2) {
    const part = (text: string) => decimal(Buffer.from(text, 'latin1'), 'GNU.sparse.map')
    map.push({ offset: part(numbers[i]!), size: part(numbers[i + 1]!) })
  }
  return map
}

/** A decimal number of this many digits at most fits a double exactly. */
const maxDigits = 15

export function decimal(value: Buffer, what: string): number {
  const digits = value.toString('latin1', 0, 64)
  if (!/^[0-9]+$/.test(digits)) throw corrupt(`${what} is no number`)
  const significant = digits.replace(/^0+(?=.)/, '')
  if (value.length > 64 || significant.length > maxDigits) throw corrupt(`${what} is out of range`)
  return Number(significant)
}

/** `-12.345678901`: seconds with a decimal fraction, counted from the epoch. */
function timestamp(value: Buffer): Timestamp {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value.toString('latin1', 0, 64))
  if (!match) throw corrupt('pax mtime is no time')
  const seconds = Number(match[2])
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (match[1] === '') return { seconds, nanoseconds }
  // timespec counts nanoseconds forward from a whole second, before the epoch too.
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}
