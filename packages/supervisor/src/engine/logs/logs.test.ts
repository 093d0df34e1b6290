import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { FrameOptions, LogOptions } from '../engine.ts'
import { readLog } from './logs.ts'
import { parseTime } from '../time.ts'

let directory: string
let path: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-logs-'))
  path = join(directory, 'x-json.log')
})
afterEach(() => rmSync(directory, { recursive: true }))

const over = Promise.resolve()
const options = (changes: Partial<LogOptions> = {}): LogOptions => ({
  stdout: true,
  stderr: true,
  follow: false,
  tail: -1,
  signal: new AbortController().signal,
  ...changes,
})
const line = (text: string, second = 0, stream = 'stdout'): string =>
  `${JSON.stringify({ log: text, stream, time: `2026-01-02T03:04:${String(second).padStart(2, '0')}.123456789Z` })}\n`

async function texts(changes: Partial<LogOptions> = {}, ended: Promise<void> = over): Promise<string[]> {
  const found: string[] = []
  for await (const entry of readLog(path, options(changes), ended))
    found.push(`${entry.stream}:${String(entry.data)}`)
  return found
}

async function bytes(how: FrameOptions, changes = {}): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of readLog(path, options(changes), over).frames(how)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('reading a log', () => {
  it('gives every line back byte for byte, escapes and all', async () => {
    const nasty = 'tab\there "quoted" back\\slash \u0001 ü 😀 \u2028\r\n'
    writeFileSync(path, line('one\n') + line(nasty, 1, 'stderr') + line('no newline'))
    expect(await texts()).toEqual(['stdout:one\n', `stderr:${nasty}`, 'stdout:no newline'])
  })

  it('sets the text off by a blank where details are asked for, behind the time', async () => {
    writeFileSync(path, line('one\n') + line('two', 1).replace('.123456789Z', '.5Z'))
    expect(String(await bytes({ timestamps: false, details: true, multiplexed: false }))).toBe(' one\n two')
    expect(String(await bytes({ timestamps: true, details: true, multiplexed: false }))).toMatch(
      /^2026-01-02T03:04:00.123456789Z  one\n2026-01-02T03:04:01.5\d*Z  two$/,
    )
    const framed = await bytes({ timestamps: false, details: true, multiplexed: true })
    expect([framed[7], String(framed.subarray(8, 13))]).toEqual([5, ' one\n'])
  })

  it('reads JSON of another order of fields', async () => {
    writeFileSync(path, `{"time":"2026-01-02T03:04:05Z","log":"x\\n","stream":"stderr","attrs":{"a":"b"}}\n`)
    expect(await texts()).toEqual(['stderr:x\n'])
  })

  it('skips a line that a crash tore, and reads on', async () => {
    writeFileSync(path, `${line('one\n')}{"log":"tor\n${line('two\n')}{"log":"being writ`)
    expect(await texts()).toEqual(['stdout:one\n', 'stdout:two\n'])
  })

  it('takes the last lines across rotated files', async () => {
    writeFileSync(`${path}.2`, line('a\n') + line('b\n'))
    writeFileSync(`${path}.1`, line('c\n'))
    writeFileSync(path, line('d\n') + line('e\n'))
    expect(await texts({ tail: 3 })).toEqual(['stdout:c\n', 'stdout:d\n', 'stdout:e\n'])
    expect(await texts({ tail: 4 })).toEqual(['stdout:b\n', 'stdout:c\n', 'stdout:d\n', 'stdout:e\n'])
    expect(await texts({ tail: 0 })).toEqual([])
    expect(await texts({ tail: 99 })).toHaveLength(5)
  })

  it('keeps to the stream and the times asked for', async () => {
    writeFileSync(path, line('a\n', 1) + line('b\n', 2, 'stderr') + line('c\n', 3) + line('d\n', 4))
    expect(await texts({ stderr: false })).toEqual(['stdout:a\n', 'stdout:c\n', 'stdout:d\n'])
    const at = (second: number): bigint => parseTime(`2026-01-02T03:04:0${second}.123456789Z`)!
    expect(await texts({ since: at(2), until: at(3) })).toEqual(['stderr:b\n', 'stdout:c\n'])
  })

  it('frames lines as Docker does', async () => {
    writeFileSync(path, line('hi\n') + line('no\n', 1, 'stderr'))
    expect((await bytes({ timestamps: false, multiplexed: true })).toString('hex')).toBe(
      '0100000000000003' + '68690a' + '0200000000000003' + '6e6f0a',
    )
    expect((await bytes({ timestamps: true, multiplexed: false })).toString()).toBe(
      '2026-01-02T03:04:00.123456789Z hi\n2026-01-02T03:04:01.123456789Z no\n',
    )
  })

  it('puts short and long times in front of the text', async () => {
    writeFileSync(
      path,
      `{"log":"a\\n","stream":"stdout","time":"2026-01-02T03:04:05.1Z"}\n{"time":"2026-01-02T03:04:05Z","log":"b\\n"}\n`,
    )
    expect((await bytes({ timestamps: true, multiplexed: false })).toString()).toBe(
      '2026-01-02T03:04:05.1Z a\n2026-01-02T03:04:05Z b\n',
    )
  })

  it('reads lines that cross the edge of what is read at once', async () => {
    const long = 'x'.repeat(300_000)
    writeFileSync(path, Array.from({ length: 12 }, () => line(`${long}\n`)).join(''))
    const found = await texts()
    expect(found).toHaveLength(12)
    expect(new Set(found).size).toBe(1)
  })

  it('finds nothing in a log that was never written', async () => {
    expect(await texts()).toEqual([])
  })
})

describe('following a log', () => {
  it('goes on through growth and rotation, and ends with the container', async () => {
    writeFileSync(path, line('1\n'))
    const ended = Promise.withResolvers<void>()
    const log = readLog(path, options({ follow: true }), ended.promise)[Symbol.asyncIterator]()
    const next = async (): Promise<string> => String((await log.next()).value?.data)
    expect(await next()).toBe('1\n')
    const second = next()
    appendFileSync(path, line('2\n'))
    expect(await second).toBe('2\n')
    const third = next()
    appendFileSync(path, line('3\n'))
    renameSync(path, `${path}.1`)
    writeFileSync(path, line('4\n'))
    expect([await third, await next()]).toEqual(['3\n', '4\n'])
    const last = log.next()
    appendFileSync(path, line('5\n'))
    ended.resolve()
    expect(String((await last).value?.data)).toBe('5\n')
    expect((await log.next()).done).toBe(true)
  })

  it('waits for a log that is not there yet', async () => {
    const ended = Promise.withResolvers<void>()
    const found = texts({ follow: true }, ended.promise)
    await new Promise((resolve) => setImmediate(resolve))
    writeFileSync(path, line('late\n'))
    ended.resolve()
    expect(await found).toEqual(['stdout:late\n'])
  })

  it('ends when the reader goes', async () => {
    writeFileSync(path, line('1\n'))
    const abort = new AbortController()
    const log = readLog(path, options({ follow: true, signal: abort.signal }), new Promise(() => {}))
    const found: string[] = []
    for await (const entry of log) {
      found.push(String(entry.data))
      abort.abort()
    }
    expect(found).toEqual(['1\n'])
  })
})
