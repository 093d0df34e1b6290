import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { closeFd, pipe2, writeFd, O_NONBLOCK } from '@holdfast/core'
import { parseEntry } from '@holdfast/protocol'
import { JsonLog } from './log-writer.ts'
import { logPaths } from './log-file.ts'

let dir: string
let pipe: { read: number; write: number }
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hf-log-'))
  pipe = pipe2(O_NONBLOCK)
})
afterEach(() => {
  for (const fd of Object.values(pipe)) closeFd(fd)
  rmSync(dir, { recursive: true })
})

const open = (limits: { maxSize?: number; maxFile?: number } = {}) =>
  new JsonLog(
    dir,
    { driver: 'json-file', path: `${dir}/x-json.log`, maxSize: -1, maxFile: 1, ...limits },
    () => {},
  )

function texts(maxFile = 1): string[] {
  return logPaths(`${dir}/x-json.log`, maxFile).flatMap((path) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        const bytes = Buffer.from(line)
        return parseEntry(bytes, 0, bytes.length)!.text.toString()
      }),
  )
}

function put(log: JsonLog, text: string): void {
  writeFd(pipe.write, text)
  expect(Buffer.from(log.take('stdout', pipe.read, false)).toString()).toBe(text)
}

it('holds back a line until its end, and writes the rest when the stream ends', () => {
  const log = open()
  put(log, 'one\ntw')
  expect(texts()).toEqual(['one\n'])
  put(log, 'o\nrest')
  log.finish()
  expect(texts()).toEqual(['one\n', 'two\n', 'rest'])
  log.close()
})

it('splits what is longer than 16 KiB as Docker does', () => {
  const log = open()
  put(log, 'x'.repeat(16384) + '\n')
  put(log, 'y'.repeat(20000))
  expect(texts().map((text) => text.length)).toEqual([16384, 1, 16384])
  log.close()
})

it('keeps the text that waits for its line end across a kill', () => {
  const log = open()
  put(log, 'a\nhal')
  const next = open() // the first one was killed: nothing of it was closed
  expect(Buffer.from(next.partials.stdout).toString()).toBe('hal')
  put(next, 'f\n')
  expect(texts()).toEqual(['a\n', 'half\n'])
  log.close()
  next.close()
})

it('rotates between two entries and keeps max-file files', () => {
  const log = open({ maxSize: 200, maxFile: 3 })
  put(log, Array.from({ length: 10 }, (_, n) => `line ${n}\n`).join(''))
  expect(texts(3)).toEqual([3, 4, 5, 6, 7, 8, 9].map((n) => `line ${n}\n`))
  expect(logPaths(log.file.path, 3)).toHaveLength(3)
  log.close()
})

it('escapes as Docker does, and replaces invalid UTF-8', () => {
  const log = open()
  writeFd(pipe.write, Buffer.from('a"\\\t<\r\u2028é\xff\n', 'latin1'))
  log.take('stdout', pipe.read, false)
  writeFd(pipe.write, 'é\u2028<>&\n')
  log.take('stderr', pipe.read, false)
  const [first, second] = readFileSync(`${dir}/x-json.log`, 'utf8').split('\n')
  expect(first).toMatch(
    /^\{"log":"a\\"\\\\\\u0009\\u003c\\r\(\\ufffd\\ufffd\\n","stream":"stdout","time":"2\d{3}-.*Z"\}$/,
  )
  expect(second).toContain('{"log":"é\\u2028\\u003c\\u003e\\u0026\\n","stream":"stderr"')
  log.close()
})
