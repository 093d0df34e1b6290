import { expect, it } from 'vitest'
import { entrySuffix, formatTime, maxEntrySize, parseEntry, writeEntries, writeEntry } from './json-log.ts'

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
  ['plain', 'plain\n'],
  ['no end', 'no end'],
  ['empty', ''],
  ['only an end', '\n'],
  ['quotes', 'say "x"\n'],
  ['a backslash and an n at the end', 'tail\\n'],
  ['umlauts', 'äöü €  𝄞\n'],
  ['ends with a backslash', '\\'],
  ['looks like an entry', '","stream":"stdout","time":"2023-11-14T22:13:20.123456789Z"}'],
])('reads back what it wrote: %s', (_name, text) => {
  for (const stream of ['stdout', 'stderr'] as const) {
    const bytes = entry(text, stream)
    expect(parseEntry(bytes, 0, bytes.length - 1)).toEqual({ stream, time, text: Buffer.from(text) })
    expect(JSON.parse(bytes.toString())).toEqual({ log: text, stream, time })
  }
})

it.each([
  ['c3 28', '\ufffd('],
  ['ff', '\ufffd'],
  ['e2 82', '\ufffd\ufffd'],
  ['c0 80', '\ufffd\ufffd'],
  ['ed a0 80', '\ufffd\ufffd\ufffd'],
  ['f4 90 80 80', '\ufffd\ufffd\ufffd\ufffd'],
  ['f0 9d 84 9e', '𝄞'],
])('replaces each byte of invalid UTF-8: %s', (hex, text) => {
  const bytes = entry(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  expect((JSON.parse(bytes.toString()) as { log: string }).log).toBe(text)
})

it('writes whole lines until the limit, and says where the rest starts', () => {
  const lines = ['one\n', '\n', 'a "b" \\n <c> & d\n']
  const text = Buffer.from(lines.join('') + 'rest')
  const out = new Uint8Array(1024)
  const suffix = entrySuffix('stdout', time)
  const all = writeEntries(out, text, { start: 0, suffix, limit: 1000 })
  expect(Buffer.from(out.subarray(0, all.end)).toString()).toBe(
    lines.map((line) => entry(line).toString()).join(''),
  )
  expect(text.toString('utf8', all.rest)).toBe('rest')
  const one = writeEntries(out, text, { start: 0, suffix, limit: 1 })
  expect(Buffer.from(out.subarray(0, one.end)).toString()).toBe(entry('one\n').toString())
  expect(writeEntries(out, text, { start: all.rest, suffix, limit: 1 })).toEqual({ end: 0, rest: all.rest })
})

it('cuts a line after 16 KiB', () => {
  const text = Buffer.from('x'.repeat(20_000))
  const { rest } = writeEntries(new Uint8Array(200_000), text, {
    start: 0,
    suffix: entrySuffix('stdout', time),
    limit: 9,
  })
  expect(rest).toBe(16_384)
})

it('reads entries of other writers, and nothing from broken ones', () => {
  const read = (text: string) => parseEntry(Buffer.from(text), 0, Buffer.byteLength(text))
  expect(read('{"log":"x\\n","stream":"stdout","time":"2023-11-14T22:13:20.1Z"}')?.text.toString()).toBe(
    'x\n',
  )
  expect(read('{"log":"x\\n","stream":"stdout","ti')).toBeUndefined()
  expect(read('')).toBeUndefined()
})
