/** Sparse files: which parts of a file an archive holds. GNU tar manual, "Storing Sparse Files". */
import { corrupt } from './corrupt.ts'
import { number } from './field.ts'
import { decimal } from './pax.ts'
import type { SparsePart } from './entry.ts'

/** Four parts fit the header of an old GNU sparse file. */
export const oldGnuHeaderMap = { offset: 386, count: 4, extended: 482, realSize: 483 }
/** And 21 each of the blocks that may follow. */
export const oldGnuExtensionMap = { offset: 0, count: 21, extended: 504 }

/** The parts in a header or extension block; the first empty slot ends them. */
export function oldGnuParts(
  block: Buffer,
  { offset, count }: { offset: number; count: number },
): SparsePart[] {
  const parts: SparsePart[] = []
  for (let i = 0; i < count; i++) {
    const slot = block.subarray(offset + 24 * i, offset + 24 * (i + 1))
    if (slot[0] === 0) break
    parts.push({
      offset: number(slot.subarray(0, 12), 'sparse offset'),
      size: number(slot.subarray(12, 24), 'sparse size'),
    })
  }
  return parts
}

/**
 * Reads the map at the start of a pax 1.0 sparse file's data: decimal numbers, one a line, first their count; padded
 * to a block. Returns undefined while more blocks are needed.
 */
export function parseSparse10(blocks: Buffer, maxParts: number): SparsePart[] | undefined {
  const line = lines(blocks)
  const first = line.next().value
  if (first === undefined) return undefined
  const count = decimal(first, 'sparse map')
  if (count > maxParts) throw corrupt('the sparse map is too long')
  const map: SparsePart[] = []
  while (map.length < count) {
    const offset = line.next().value
    const size = line.next().value
    if (offset === undefined || size === undefined) return undefined
    map.push({ offset: decimal(offset, 'sparse map'), size: decimal(size, 'sparse map') })
  }
  return map
}

function* lines(bytes: Buffer): Generator<Buffer, undefined> {
  let at = 0
  for (;;) {
    const end = bytes.indexOf(0x0a, at)
    if (end < 0) {
      if (bytes.length - at > 512) throw corrupt('the sparse map has no line ends')
      return undefined
    }
    yield bytes.subarray(at, end)
    at = end + 1
  }
}

/** Parts must be in order, apart, within the file, and add up to what the archive holds. */
export function checkSparseMap(map: SparsePart[], realSize: number, stored: number, name: Buffer): void {
  let end = 0
  let total = 0
  for (const part of map) {
    if (part.offset < end || part.size < 0) throw corrupt('the sparse map is out of order', name)
    end = part.offset + part.size
    if (!Number.isSafeInteger(end) || end > realSize) throw corrupt('the sparse map leaves the file', name)
    total += part.size
  }
  if (total !== stored) throw corrupt('the sparse map does not match the stored size', name)
}
