/** A header block and the headers before it, put together into an entry. */
import { corrupt } from './corrupt.ts'
import type { TarEntry, TarEntryType } from './entry.ts'
import { checksumMatches, number, text } from './field.ts'
import type { PaxHeader } from './pax.ts'
import { oldGnuHeaderMap } from './sparse.ts'

/** What came before a header and belongs to it. */
export interface Preceding {
  global?: PaxHeader
  local?: PaxHeader
  /** From GNU `L` and `K` headers. */
  longName?: Buffer
  longLink?: Buffer
}

/** One header block, its numbers not read yet. */
export interface RawHeader {
  block: Buffer
  /** The type flag as a character; `'0'` for an old archive's NUL. */
  flag: string
  /** Bytes that follow in the archive, before padding. */
  size: number
}

const entryTypes: Record<string, TarEntryType> = {
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file', // contiguous: no difference on a file system of today
  S: 'file',
}

const isAnEntry = new Set(Object.keys(entryTypes))

export function parseHeader(block: Buffer): RawHeader {
  if (!checksumMatches(block)) throw corrupt('a header has a wrong checksum')
  const flag = String.fromCharCode(block[156]!)
  const size = number(block.subarray(124, 136), 'size')
  if (size < 0) throw corrupt('a size is negative')
  // Before ustar, a directory was a file whose name ends in a slash.
  if (flag === '\0') return { block, flag: nameOf(block).at(-1) === 0x2f ? '5' : '0', size }
  return { block, flag, size }
}

/** Whether the header describes a file, not something about the archive. */
export function describesFile(raw: RawHeader): boolean {
  return isAnEntry.has(raw.flag)
}

/** Throws HF_CORRUPT_LAYER for ids and devices out of range and for NULs in names. */
export function makeEntry(raw: RawHeader, before: Preceding): TarEntry {
  const { block } = raw
  const pax = { ...before.global, ...before.local }
  const name = before.local?.sparse?.name ?? pax.path ?? before.longName ?? nameOf(block)
  const linkName = pax.linkpath ?? before.longLink ?? text(block.subarray(157, 257))
  const type = entryTypes[raw.flag]!
  return {
    type,
    name: Buffer.from(name),
    linkName: Buffer.from(linkName),
    mode: number(block.subarray(100, 108), 'mode') & 0o7777,
    uid: id(pax.uid ?? number(block.subarray(108, 116), 'uid'), 'uid', name),
    gid: id(pax.gid ?? number(block.subarray(116, 124), 'gid'), 'gid', name),
    size: type === 'file' ? realSize(raw, before) : 0,
    mtime: pax.mtime ?? { seconds: number(block.subarray(136, 148), 'mtime'), nanoseconds: 0 },
    device: type === 'char' || type === 'block' ? device(block, name) : { major: 0, minor: 0 },
    xattrs: before.local?.xattrs ?? new Map<string, Buffer>(),
  }
}

/** Bytes in the archive after the header. Only files have any: others may state a size that means nothing. */
export function storedSize(raw: RawHeader, before: Preceding): number {
  return entryTypes[raw.flag] === 'file' ? (before.local?.size ?? raw.size) : 0
}

function realSize(raw: RawHeader, before: Preceding): number {
  if (raw.flag === 'S') return number(raw.block.subarray(oldGnuHeaderMap.realSize, 495), 'real size')
  return before.local?.sparse?.realSize ?? storedSize(raw, before)
}

function nameOf(block: Buffer): Buffer {
  const name = text(block.subarray(0, 100))
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0' // GNU's is "ustar  \0", with other fields there
  if (!isUstar) return name
  const isStar = block.toString('latin1', 508, 512) === 'tar\0' // star has times behind a shorter prefix
  const prefix = text(block.subarray(345, isStar ? 476 : 500))
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name])
}

/** The kernel takes 32 bits, user namespaces map 31: anything above is a mistake or an attempt to wrap to root. */
function id(value: number, what: string, name: Buffer): number {
  if (value < 0 || value > 0x7fffffff) throw corrupt(`${what} ${value} is out of range`, name)
  return value
}

function device(block: Buffer, name: Buffer): { major: number; minor: number } {
  const isUstar = block.toString('latin1', 257, 262) === 'ustar'
  if (!isUstar) throw corrupt('a device in an archive without device numbers', name)
  const major = number(block.subarray(329, 337), 'device major')
  const minor = number(block.subarray(337, 345), 'device minor')
  // The kernel's dev_t: 12 and 20 bits.
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
    throw corrupt(`device ${major}:${minor} is out of range`, name)
  return { major, minor }
}
