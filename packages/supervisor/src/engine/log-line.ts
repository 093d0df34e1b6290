/**
 * Decodes Docker's json-file log, one line at a time and without an object for each:
 *
 *   {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000000Z"}
 *
 * A line in just this form is read byte by byte; any other JSON with these three fields goes through JSON.parse.
 */

/** Where a decoded line lies. One is reused for all lines. */
export interface DecodedLine {
  /** 1 stdout, 2 stderr; 0: the line was no log line and is to be skipped. */
  stream: 0 | 1 | 2
  /** End of the text in the output buffer. */
  end: number
  /** The time's first byte and the byte behind its last, in the input; `timeText` instead where JSON.parse was used. */
  timeStart: number
  timeEnd: number
  timeText: string | undefined
}

const quote = 0x22
const backslash = 0x5c

const prefix = Buffer.from('{"log":"')
/** Behind the text: its closing quote, the stream, and what leads to the time. */
const middleOut = Buffer.from('","stream":"stdout","time":"')
const middleErr = Buffer.from('","stream":"stderr","time":"')
const middleLength = middleOut.length

/** Space in front of the text for a stream header and a time. */
export const headroom = 8 + 64

/**
 * Decodes the line `input[from, to)` (without its newline) and writes the text to `output` at `at`. The text is never
 * longer than the line.
 */
export function decodeLine(
  input: Uint8Array, from: number, to: number, output: Uint8Array, at: number, line: DecodedLine,
): void {
  line.timeText = undefined
  if (!startsWith(input, from, prefix)) return decodeOther(input, from, to, output, at, line)
  let end = at
  let position = from + prefix.length
  while (position < to) {
    const byte = input[position]!
    if (byte === quote) break
    if (byte !== backslash) {
      output[end++] = byte
      position++
      continue
    }
    const escaped = input[position + 1]
    const plain = escaped === undefined ? 0 : simpleEscapes[escaped]!
    if (plain === 0) return decodeOther(input, from, to, output, at, line) // \uXXXX: rare
    output[end++] = plain
    position += 2
  }
  const isOut = startsWith(input, position, middleOut)
  if (!isOut && !startsWith(input, position, middleErr)) return decodeOther(input, from, to, output, at, line)
  line.timeStart = position + middleLength
  line.timeEnd = to - 2
  if (input[to - 1] !== 0x7d || input[to - 2] !== quote || line.timeEnd < line.timeStart) {
    return decodeOther(input, from, to, output, at, line)
  }
  line.stream = isOut ? 1 : 2
  line.end = end
}

/** JSON's two-byte escapes, by the byte behind the backslash. */
const simpleEscapes = new Uint8Array(256)
for (const [letter, byte] of [['"', 0x22], ['\\', 0x5c], ['/', 0x2f], ['b', 8], ['f', 12], ['n', 10], ['r', 13], ['t', 9]] as const) {
  simpleEscapes[letter.charCodeAt(0)] = byte
}

function startsWith(input: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index++) {
    if (input[at + index] !== expected[index]) return false
  }
  return true
}

function decodeOther(
  input: Uint8Array, from: number, to: number, output: Uint8Array, at: number, line: DecodedLine,
): void {
  line.stream = 0
  line.end = at
  let parsed: { log?: unknown; stream?: unknown; time?: unknown }
  try {
    parsed = JSON.parse(Buffer.from(input.buffer, input.byteOffset + from, to - from).toString()) as typeof parsed
  } catch {
    return // a line torn by a crash or a full disk
  }
  const { log, stream, time } = parsed ?? {}
  if (typeof log !== 'string' || typeof time !== 'string' || time.length > 60) return
  line.stream = stream === 'stderr' ? 2 : 1
  line.timeText = time
  line.end = at + Buffer.from(output.buffer, output.byteOffset, output.length).write(log, at)
}
