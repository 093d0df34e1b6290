/**
 * Docker's json-file log, one line per entry, byte for byte as dockerd writes it:
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
 *
 * A line of output is one entry with its line end; what is longer than 16 KiB goes into several, of which only the
 * last has a line end; output that ends without one is an entry without it. Invalid UTF-8 becomes U+FFFD.
 */
import type { StreamName } from './channel.ts'

/** Docker's buffer: an entry's text has at most this many bytes, the line end not counted. */
export const maxLogText = 16 * 1024

/** The most room that `text` of this many bytes takes as an entry: every byte may become six. */
export function maxEntrySize(textBytes: number): number {
  return textBytes * 6 + 128
}

const copied = 0
const escapes = makeEscapeTable()

/** How a byte is written: 0 as it is, 1 as \u00XX, 2 starts a UTF-8 sequence, else a backslash and that letter. */
function makeEscapeTable(): Uint8Array {
  const table = new Uint8Array(256)
  table.fill(1, 0, 0x20)
  table.fill(2, 0x80)
  for (const char of '<>&') table[char.charCodeAt(0)] = 1
  for (const [char, letter] of ['\nn', '\rr', '""', '\\\\'])
    table[char!.charCodeAt(0)] = letter!.charCodeAt(0)
  return table
}

// Plain arrays, as everything here: the hot loop is slower by half where it meets arrays of two classes.
const hexDigits = new Uint8Array(Buffer.from('0123456789abcdef'))
const prefix = new Uint8Array(Buffer.from('{"log":"'))
const newline = 0x0a

/** What follows the text of an entry; the same for all entries of one chunk. */
export function entrySuffix(stream: StreamName, time: string): Uint8Array {
  return new Uint8Array(Buffer.from(`","stream":"${stream}","time":"${time}"}\n`))
}

/** What `writeEntries` has written. */
export interface Entries {
  /** Where the entries end in `out`. */
  end: number
  /** Where the text starts that is in none of them: at its end, or at a line that has no end yet. */
  rest: number
}

/**
 * Writes whole lines of `text`, from `start` on, as entries into `out`, until `limit` bytes are written or no whole
 * line is left. `out` must have room for one entry more than `limit`: `maxEntrySize(maxLogText)`. This is the hot loop
 * of a container's output: one pass over the bytes, and no garbage.
 */
export function writeEntries(
  out: Uint8Array,
  text: Uint8Array,
  { start, suffix, limit }: { start: number; suffix: Uint8Array; limit: number },
): Entries {
  let at = 0
  let rest = start
  while (rest < text.length && at < limit) {
    const bound = Math.min(text.length, rest + maxLogText)
    const lineEnd = text.indexOf(newline, rest)
    const whole = lineEnd >= 0 && lineEnd < rest + maxLogText
    if (!whole && bound < rest + maxLogText) break
    const textEnd = whole ? lineEnd + 1 : bound
    at = writeEntry(out, at, text, rest, textEnd, suffix)
    rest = textEnd
  }
  return { end: at, rest }
}

/** One entry for `text[start, end)`, whatever that is. Returns where it ends. */
export function writeEntry(
  out: Uint8Array,
  at: number,
  text: Uint8Array,
  start: number,
  end: number,
  suffix: Uint8Array,
): number {
  out.set(prefix, at)
  at += prefix.length
  for (let index = start; index < end; index++) {
    const byte = text[index]!
    const escape = escapes[byte]!
    if (escape === copied) {
      out[at] = byte
      at++
    } else if (escape === 2) {
      const length = sequenceLength(text, index, end)
      at = length === 0 ? writeUnicode(out, at, 0xfffd) : writeSequence(out, at, text, index, length)
      if (length > 1) index += length - 1
    } else if (escape === 1) {
      at = writeUnicode(out, at, byte)
    } else {
      out[at] = 0x5c
      out[at + 1] = escape
      at += 2
    }
  }
  out.set(suffix, at)
  return at + suffix.length
}

/** Bytes of the valid UTF-8 sequence at `index`; 0 where there is none, so that its first byte becomes U+FFFD. */
function sequenceLength(text: Uint8Array, index: number, end: number): number {
  const first = text[index]!
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
  if (first < 0xc2 || first > 0xf4 || index + length > end) return 0
  const second = text[index + 1]!
  // Overlong forms, surrogates and what lies beyond U+10FFFF differ only in the range of the second byte.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < low || second > high) return 0
  for (let rest = 2; rest < length; rest++) if ((text[index + rest]! & 0xc0) !== 0x80) return 0
  return length
}

function writeSequence(out: Uint8Array, at: number, text: Uint8Array, index: number, length: number): number {
  // U+2028 and U+2029 are valid JSON and break JavaScript literals: Go's encoder, and so Docker's, escapes them.
  if (
    length === 3 &&
    text[index] === 0xe2 &&
    text[index + 1] === 0x80 &&
    (text[index + 2]! & 0xfe) === 0xa8
  ) {
    return writeUnicode(out, at, text[index + 2] === 0xa8 ? 0x2028 : 0x2029)
  }
  for (let offset = 0; offset < length; offset++) out[at++] = text[index + offset]!
  return at
}

function writeUnicode(out: Uint8Array, at: number, code: number): number {
  out[at++] = 0x5c
  out[at++] = 0x75
  for (let shift = 12; shift >= 0; shift -= 4) out[at++] = hexDigits[(code >> shift) & 15]!
  return at
}

/** One entry of the log. `time` is RFC 3339 with nanoseconds. */
export interface LogLine {
  stream: 'stdout' | 'stderr'
  time: string
  /** The text's bytes, with its line end where it has one. */
  text: Buffer
}

/**
 * Reads the entry in `bytes[start, end)`, without its own line end. Undefined where it is none: a log that was cut by
 * a full disk may have a broken line.
 */
export function parseEntry(bytes: Buffer, start: number, end: number): LogLine | undefined {
  return parsePlainEntry(bytes, start, end) ?? parseAnyEntry(bytes, start, end)
}

const backslash = 0x5c
const suffixLength = entrySuffix('stdout', formatTime(0n)).length - 1
const streamTag = Buffer.from('","stream":"std')
const streamAt = streamTag.length

/** An entry as written here, with no escape in it but that of its line end: most are, and need no JSON parser. */
function parsePlainEntry(bytes: Buffer, start: number, end: number): LogLine | undefined {
  const textStart = start + prefix.length
  const textEnd = end - suffixLength
  if (textEnd < textStart || bytes.compare(streamTag, 0, streamAt, textEnd, textEnd + streamAt) !== 0)
    return undefined
  const escape = bytes.indexOf(backslash, textStart)
  const hasEnd = escape === textEnd - 2 && bytes[textEnd - 1] === 0x6e
  if (escape >= 0 && escape < textEnd && !hasEnd) return undefined
  const text = Buffer.from(bytes.subarray(textStart, hasEnd ? textEnd - 1 : textEnd)) // a copy: one byte is changed
  if (hasEnd) text[text.length - 1] = newline
  const stream = bytes[textEnd + streamAt] === 0x6f ? 'stdout' : 'stderr'
  return { stream, time: bytes.toString('latin1', end - 32, end - 2), text }
}

function parseAnyEntry(bytes: Buffer, start: number, end: number): LogLine | undefined {
  try {
    const entry = JSON.parse(bytes.toString('utf8', start, end)) as {
      log?: unknown
      stream?: unknown
      time?: unknown
    }
    if (typeof entry.log !== 'string' || typeof entry.time !== 'string') return undefined
    if (entry.stream !== 'stdout' && entry.stream !== 'stderr') return undefined
    return { stream: entry.stream, time: entry.time, text: Buffer.from(entry.log) }
  } catch {
    return undefined
  }
}

/** RFC 3339 with nanoseconds, in UTC, of a count of nanoseconds since the epoch. */
export function formatTime(nanoseconds: bigint): string {
  const seconds = Number(nanoseconds / 1_000_000_000n)
  const fraction = String(nanoseconds % 1_000_000_000n).padStart(9, '0')
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}Z`
}

export { newline as logNewline }
