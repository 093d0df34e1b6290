/**
 * Decodes Docker's json-file log, one line at a time and without an object for each:
 *
 *   {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000000Z"}
 *
 * A line in just this form is copied piece by piece; any other JSON with these three fields goes through JSON.parse.
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
  /** Where the next backslash of the input is, once looked for. */
  escape: number
}

const backslash = 0x5c

const prefix = Buffer.from('{"log":"')
/** Behind the text: its closing quote, the stream, and what leads to the time. */
const middleOut = Buffer.from('","stream":"stdout","time":"')
const middleErr = Buffer.from('","stream":"stderr","time":"')
const middleLength = middleOut.length

/** Space in front of the text for a stream header and a time. */
export const headroom = 8 + 64

/** To begin with, for each buffer that is decoded. */
export function newLine(): DecodedLine {
  return { stream: 0, end: 0, timeStart: 0, timeEnd: 0, timeText: undefined, escape: -1 }
}

/** How long the time at the end of a line is: `…"time":"<time>"}`. 30, unless the line came from elsewhere. */
export function timeLength(input: Uint8Array, stop: number): number {
  if (input[stop - 33] === 0x22) return 30
  for (let length = 20; length <= 40; length++) if (input[stop - 3 - length] === 0x22) return length
  return 30
}

/**
 * Decodes the line `input[from, to)` (without its newline) and writes the text to `output` at `at`. The text is never
 * longer than the line.
 */
export function decodeLine(
  input: Buffer,
  from: number,
  to: number,
  output: Buffer,
  at: number,
  line: DecodedLine,
): void {
  line.timeText = undefined
  line.timeEnd = to - 2
  line.timeStart = line.timeEnd - timeLength(input, to)
  // The end of the text is known from the end of the line, which has always the same form: no quote is looked for.
  const textEnd = line.timeStart - middleLength
  const isOut = startsWith(input, textEnd, middleOut)
  const isOurs =
    textEnd >= from + prefix.length &&
    input[to - 1] === 0x7d &&
    input[to - 2] === 0x22 &&
    startsWith(input, from, prefix) &&
    (isOut || startsWith(input, textEnd, middleErr))
  if (!isOurs) return decodeOther(input, from, to, output, at, line)
  let end = at
  let position = from + prefix.length
  for (;;) {
    // Most lines have one escape, the newline at their end: what lies before it is copied in one go.
    if (line.escape < position) line.escape = nextEscape(input, position)
    const stop = Math.min(line.escape, textEnd)
    end += input.copy(output, end, position, stop)
    if (stop === textEnd) break
    const plain = simpleEscapes[input[stop + 1]!]!
    if (plain === 0) return decodeOther(input, from, to, output, at, line) // \uXXXX: rare
    output[end++] = plain
    position = stop + 2
  }
  line.stream = isOut ? 1 : 2
  line.end = end
}

function nextEscape(input: Buffer, from: number): number {
  const found = input.indexOf(backslash, from)
  return found < 0 ? Number.MAX_SAFE_INTEGER : found
}

/** JSON's two-byte escapes, by the byte behind the backslash. */
const simpleEscapes = new Uint8Array(256)
for (const [letter, byte] of [
  ['"', 0x22],
  ['\\', 0x5c],
  ['/', 0x2f],
  ['b', 8],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
] as const) {
  simpleEscapes[letter.charCodeAt(0)] = byte
}

function startsWith(input: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index++) {
    if (input[at + index] !== expected[index]) return false
  }
  return true
}

function decodeOther(
  input: Buffer,
  from: number,
  to: number,
  output: Buffer,
  at: number,
  line: DecodedLine,
): void {
  line.stream = 0
  line.end = at
  let parsed: { log?: unknown; stream?: unknown; time?: unknown }
  try {
    parsed = JSON.parse(input.toString('utf8', from, to)) as typeof parsed
  } catch {
    return // a line torn by a crash or a full disk
  }
  const { log, stream, time } = parsed ?? {}
  if (typeof log !== 'string' || typeof time !== 'string' || time.length > 60) return
  line.stream = stream === 'stderr' ? 2 : 1
  line.timeText = time
  line.end = at + output.write(log, at)
}
