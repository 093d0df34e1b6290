import { expect, it } from 'vitest'
import { entrySuffix, formatTime, maxEntrySize, parseEntry, writeEntry, writePlainEntries } from './json-log.ts'

const time = formatTime(1_700_000_000_123_456_789n)

function entry(text: Uint8Array | string, stream: 'stdout' | 'stderr' = 'stdout'): Buffer {
  const bytes = Buffer.from(text as string)
  const out = Buffer.alloc(maxEntrySize(bytes.length))
  return out.subarray(0, writeEntry(out, 0, bytes, 0, bytes.length, entrySuffix(stream, time)))
}

it('writes what dockerd writes', () => {
  expect(entry('a line\n').toString()).toBe(
    '{"log":"a line\\n","stream":"stdout","time":"2023-11-14T22:13:20.123456789Z"}\n',
  )
  expect(entry('\x00\t\r"\\<>&\x7f', 'stderr').toString()).toContain(
    '{"log":"\\u0000\\u0009\\r\\"\\\\\\u003c\\u003e\\u0026\x7f","stream":"stderr"',
  )
})

it.each([
  ['plain', 'plain\n'], ['no end', 'no end'], ['empty', ''], ['only an end', '\n'], ['quotes', 'say "x"\n'],
  ['a backslash and an n at the end', 'tail\\n'], ['umlauts', 'äöü €  𝄞\n'], ['ends with a backslash', '\\'],
  ['looks like an entry', '","stream":"stdout","time":"2023-11-14T22:13:20.123456789Z"}'],
])('reads back what it wrote: %s', (_name, text) => {
  for (const stream of ['stdout', 'stderr'] as const) {
    const bytes = entry(text, stream)
    expect(parseEntry(bytes, 0, bytes.length - 1)).toEqual({ stream, time, text: Buffer.from(text) })
    expect(JSON.parse(bytes.toString())).toEqual({ log: text, stream, time })
  }
})

it.each([
  ['c3 28', '\ufffd('], ['ff', '\ufffd'], ['e2 82', '\ufffd\ufffd'], ['c0 80', '\ufffd\ufffd'],
  ['ed a0 80', '\ufffd\ufffd\ufffd'], ['f4 90 80 80', '\ufffd\ufffd\ufffd\ufffd'], ['f0 9d 84 9e', '𝄞'],
])('replaces each byte of invalid UTF-8: %s', (hex, text) => {
  const bytes = entry(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  expect((JSON.parse(bytes.toString()) as { log: string }).log).toBe(text)
})

it('writes plain lines in one go exactly as one by one', () => {
  const lines = ['one\n', '\n', 'a "b" \\n <c> & d\n']
  const out = Buffer.alloc(1024)
  const end = writePlainEntries(out, Buffer.from(lines.join('')), entrySuffix('stdout', time))
  expect(out.toString('utf8', 0, end)).toBe(lines.map((line) => entry(line).toString()).join(''))
  expect(writePlainEntries(out, Buffer.from('tab\t\n'), entrySuffix('stdout', time))).toBe(-1)
  expect(writePlainEntries(Buffer.alloc(40), Buffer.from('no room\n'), entrySuffix('stdout', time))).toBe(-1)
})

it('reads entries of other writers, and nothing from broken ones', () => {
  const read = (text: string) => parseEntry(Buffer.from(text), 0, Buffer.byteLength(text))
  expect(read('{"log":"x\\n","stream":"stdout","time":"2023-11-14T22:13:20.1Z"}')?.text.toString()).toBe('x\n')
  expect(read('{"log":"x\\n","stream":"stdout","ti')).toBeUndefined()
  expect(read('')).toBeUndefined()
})
