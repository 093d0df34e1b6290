/** The fields of a tar header block. Layouts: tar(5), and "Basic Tar Format" of the GNU tar manual. */
import { corrupt } from './corrupt.ts'

/** The bytes up to the first NUL. */
export function text(field: Buffer): Buffer {
  const end = field.indexOf(0)
  return end < 0 ? field : field.subarray(0, end)
}

/**
 * A number in octal digits, or in GNU's base-256: first bit set, then a big-endian two's complement number. Refuses
 * what a double can't hold exactly.
 */
export function number(field: Buffer, what: string): number {
  return field[0]! & 0x80 ? base256(field, what) : octal(field, what)
}

function octal(field: Buffer, what: string): number {
  const digits = text(trimStart(field)).toString('latin1').trim()
  if (digits === '') return 0
  if (!/^[0-7]+$/.test(digits)) throw corrupt(`${what} is no octal number`)
  const value = parseInt(digits, 8)
  if (!Number.isSafeInteger(value)) throw corrupt(`${what} is out of range`)
  return value
}

/** Some writers pad numbers on the left, with spaces or NULs. */
function trimStart(field: Buffer): Buffer {
  let start = 0
  while (start < field.length && (field[start] === 0x20 || field[start] === 0)) start++
  return field.subarray(start)
}

function base256(field: Buffer, what: string): number {
  const negative = (field[0]! & 0x40) !== 0
  // BigInt, since a double would round what is too large instead of showing it.
  let value = BigInt(field[0]! & 0x3f)
  for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte)
  if (negative) value -= 1n << BigInt(8 * field.length - 2)
  const result = Number(value)
  if (!Number.isSafeInteger(result)) throw corrupt(`${what} is out of range`)
  return result
}

/** The checksum counts its own field as spaces. Some old writers summed signed bytes. */
export function checksumMatches(block: Buffer): boolean {
  let unsigned = 0
  let signed = 0
  for (let i = 0; i < 512; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : block[i]!
    unsigned += byte
    signed += byte > 127 ? byte - 256 : byte
  }
  const digits = text(trimStart(block.subarray(148, 156)))
    .toString('latin1')
    .trim()
  const stated = /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : undefined
  return stated === unsigned || stated === signed
}
