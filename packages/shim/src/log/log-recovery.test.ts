import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { closeFd, pipe2, writeFd, O_NONBLOCK } from '@holdfast/core'
import { CheckpointFile } from './log-checkpoint.ts'
import { noPartials } from './log-encoder.ts'
import { logPaths } from './log-file.ts'
import { JsonLog } from './log-writer.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hf-recovery-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const open = (maxSize = -1) =>
  new JsonLog(dir, { driver: 'json-file', path: `${dir}/x`, maxSize, maxFile: 3 }, () => {})

function text(): string {
  return logPaths(`${dir}/x`, 3)
    .flatMap((path) => readFileSync(path, 'utf8').split('\n').filter(Boolean))
    .map((line) => (JSON.parse(line) as { log: string }).log)
    .join('')
}

/** What lies on disk when a shim is killed just before it appends, by a checkpoint taken by hand. */
function killedBeforeAppend(log: JsonLog, chunk: string, entries: number): void {
  const { file } = CheckpointFile.open(`${dir}/log.checkpoint`)
  writeFileSync(`${dir}/stdout.journal`, chunk)
  const { ino, size: offset } = statSync(`${dir}/x`)
  file.write({
    ends: { stdout: 0, stderr: 0 },
    partials: log.partials,
    dropped: 0,
    pending: {
      stream: 'stdout',
      time: '2026-01-02T03:04:05.000000006Z',
      done: 0,
      length: entries,
      ino,
      offset,
    },
  })
  file.close()
}

it('writes what had been taken from the pipe and not been logged', () => {
  const log = open()
  const pipe = pipe2(O_NONBLOCK)
  writeFd(pipe.write, 'x\n')
  log.take('stdout', pipe.read, false)
  for (const fd of Object.values(pipe)) closeFd(fd)
  writeFileSync(`${dir}/stdout.journal`, '\0\0taken\n') // behind the hole where the first chunk was
  expect(text()).toBe('x\n')
  const next = open()
  expect(text()).toBe('x\ntaken\n')
  expect(statSync(`${dir}/stdout.journal`).size).toBe(0)
  for (const each of [log, next]) each.close()
})

it('makes no files beside the log for a container that says nothing', () => {
  const log = open()
  const pipe = pipe2(O_NONBLOCK)
  expect(log.take('stdout', pipe.read, false)).toBe('later')
  closeFd(pipe.write)
  expect(log.take('stdout', pipe.read, true)).toBe('end')
  closeFd(pipe.read)
  log.finish()
  log.close()
  expect(readdirSync(dir)).toEqual(['x'])
})

it.each([0, 1, 40, 84, 85, 150])('completes a chunk of which %d bytes had got into the log', (written) => {
  const chunk = 'first line\nsecond line\npart'
  // The whole of it, for comparison.
  const log = open()
  const whole = entriesOf(chunk)
  killedBeforeAppend(log, chunk, whole.length)
  writeFileSync(`${dir}/x`, whole.subarray(0, Math.min(written, whole.length)), { flag: 'a' })
  const next = open()
  expect(text()).toBe('first line\nsecond line\n')
  expect(Buffer.from(next.partials.stdout).toString()).toBe('part')
  next.finish()
  expect(text()).toBe(chunk)
  for (const each of [log, next]) each.close()
})

it('does not write a chunk again that was complete and only not forgotten yet', () => {
  const log = open()
  const whole = entriesOf('a\nb\n')
  killedBeforeAppend(log, 'a\nb\n', whole.length)
  writeFileSync(`${dir}/x`, whole, { flag: 'a' })
  const next = open()
  expect(text()).toBe('a\nb\n')
  for (const each of [log, next]) each.close()
})

it.each([1, 6, 20, 70])(
  'ignores a checkpoint of which %d bytes were written, and takes the one before it',
  (written) => {
    const { file } = CheckpointFile.open(`${dir}/c`)
    const checkpoint = { ends: { stdout: 1, stderr: 2 }, partials: noPartials, dropped: 3 }
    file.write({ ...checkpoint, dropped: 1 })
    file.write(checkpoint)
    const before = readFileSync(`${dir}/c`)
    file.write({ ...checkpoint, dropped: 4 })
    file.close()
    expect(CheckpointFile.open(`${dir}/c`).last?.dropped).toBe(4)
    const after = readFileSync(`${dir}/c`)
    const slot = after.findIndex((byte, index) => byte !== before[index])
    after.copy(before, slot, slot, slot + written)
    writeFileSync(`${dir}/c`, before)
    expect(CheckpointFile.open(`${dir}/c`).last).toEqual(checkpoint)
  },
)

it('goes on after a kill within a rotation', () => {
  const log = open(100)
  const pipe = pipe2(O_NONBLOCK)
  const put = (each: JsonLog, line: string) => {
    writeFd(pipe.write, line)
    each.take('stdout', pipe.read, false)
  }
  put(log, 'one line\n')
  put(log, 'two line\n') // full: it is rotated at once
  put(log, 'three\n')
  expect(readdirSync(dir)).toContain('x.1')
  writeFileSync(`${dir}/x.new`, 'left by a rotation that was killed')
  const next = open(100)
  for (const line of ['four\n', 'five\n', 'six\n']) put(next, line)
  expect('one line\ntwo line\nthree\nfour\nfive\nsix\n'.endsWith(text())).toBe(true)
  expect(text()).toContain('three\nfour\nfive\nsix\n')
  expect(readdirSync(dir)).not.toContain('x.new')
  for (const fd of Object.values(pipe)) closeFd(fd)
  for (const each of [log, next]) each.close()
})

function entriesOf(chunk: string): Buffer {
  return Buffer.concat(
    chunk
      .split('\n')
      .slice(0, -1)
      .map((line) =>
        Buffer.from(
          JSON.stringify({ log: `${line}\n`, stream: 'stdout', time: '2026-01-02T03:04:05.000000006Z' }) +
            '\n',
        ),
      ),
  )
}
