/**
 * DNS messages as bytes (RFC 1035, section 4): numbers, names, and where records lie. Nothing here throws on what
 * comes from outside: what is malformed is undefined, or -1.
 *
 * A name as text is in lower case, without a dot at its end; '' is the root. A byte that is no printable ASCII
 * character, a dot inside a label and a backslash are written `\DDD`, so that two names are never one text.
 */

export const recordTypes = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, OPT: 41, ANY: 255 } as const

export const classes = { IN: 1, ANY: 255 } as const

export const responseCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  /** RFC 6891: its upper bits are in the OPT record. */
  badVersion: 16,
} as const

/** Bits of the second 16-bit word of a message. */
export const flags = {
  reply: 0x8000,
  opcode: 0x7800,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
  responseCode: 0x000f,
} as const

export const headerSize = 12
/** Bytes of a name, lengths and the root's included. */
const maxNameSize = 255
const maxLabelSize = 63

export function read16(message: Uint8Array, at: number): number {
  return (message[at]! << 8) | message[at + 1]!
}

function read32(message: Uint8Array, at: number): number {
  return read16(message, at) * 0x1_0000 + read16(message, at + 2)
}

export function write16(message: Uint8Array, at: number, value: number): void {
  message[at] = value >> 8
  message[at + 1] = value
}

export function write32(message: Uint8Array, at: number, value: number): void {
  write16(message, at, value >>> 16)
  write16(message, at + 2, value & 0xffff)
}

/** How each byte of a label is shown. */
const shown = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte)
  if (byte <= 0x20 || byte >= 0x7f || char === '.' || char === '\\')
    return `\\${String(byte).padStart(3, '0')}`
  return char.toLowerCase()
})

/**
 * The name at `start`, and where what follows it begins. A pointer must lead to before where its name began, so
 * following it ends; a name of more than 255 bytes is none.
 */
export function readName(message: Uint8Array, start: number): { name: string; end: number } | undefined {
  let name = ''
  let size = 0
  let end = -1
  let at = start
  let lowest = start
  for (;;) {
    const length = message[at]
    if (length === undefined) return undefined
    if (length >= 0xc0) {
      if (at + 1 >= message.length) return undefined
      if (end < 0) end = at + 2
      at = read16(message, at) & 0x3fff
      if (at >= lowest) return undefined
      lowest = at
      continue
    }
    if (length > maxLabelSize) return undefined
    size += length + 1
    if (size > maxNameSize || at + length >= message.length) return undefined
    if (length === 0) return { name, end: end < 0 ? at + 1 : end }
    if (name !== '') name += '.'
    for (let index = at + 1; index <= at + length; index++) name += shown[message[index]!]!
    at += length + 1
  }
}

/** Where what follows the name at `at` begins; -1 where there is no name. Pointers are not followed. */
export function skipName(message: Uint8Array, at: number): number {
  for (;;) {
    const length = message[at]
    if (length === undefined) return -1
    if (length >= 0xc0) return at + 2 <= message.length ? at + 2 : -1
    if (length > maxLabelSize) return -1
    at += length + 1
    if (length === 0) return at
  }
}

/** A name's bytes, uncompressed; undefined where DNS has no such name. Not for names with `\DDD`. */
export function encodeName(name: string): Uint8Array | undefined {
  const labels = name === '' ? [] : name.split('.')
  const size = labels.reduce((sum, label) => sum + label.length + 1, 1)
  if (size > maxNameSize) return undefined
  const bytes = new Uint8Array(size)
  let at = 0
  for (const label of labels) {
    if (!/^[\x21-\x2d\x2f-\x5b\x5d-\x7e]{1,63}$/.test(label)) return undefined
    bytes[at++] = label.length
    for (let index = 0; index < label.length; index++) bytes[at++] = label.charCodeAt(index)
  }
  return bytes
}

export interface RecordPlace {
  start: number
  type: number
  /** Of an OPT record: the payload size that its sender takes. */
  class: number
  /** Seconds; of an OPT record: extended response code, version and flags. */
  ttl: number
  dataStart: number
  end: number
}

/** The record at `start`; undefined where none fits in. */
export function readRecord(message: Uint8Array, start: number): RecordPlace | undefined {
  const at = skipName(message, start)
  if (at < 0 || at + 10 > message.length) return undefined
  const end = at + 10 + read16(message, at + 8)
  if (end > message.length) return undefined
  return {
    start,
    type: read16(message, at),
    class: read16(message, at + 2),
    ttl: read32(message, at + 4),
    dataStart: at + 10,
    end,
  }
}
