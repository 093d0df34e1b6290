import { mkdtempSync, readdirSync, readFileSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { replaceFile } from './replace-file.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'replace-file-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

it('puts another file in the place of the old one, which its readers keep', () => {
  const path = join(dir, 'state')
  for (const sync of ['none', 'content', 'name'] as const) {
    writeFileSync(path, 'old and longer')
    const before = statSync(path).ino
    replaceFile(path, sync, { sync })
    expect(readFileSync(path, 'utf8')).toBe(sync)
    expect(statSync(path)).toMatchObject({ mode: 0o100600 })
    expect(statSync(path).ino).not.toBe(before)
  }
  expect(readdirSync(dir)).toEqual(['state'])
})

it('writes over what a killed writer left', () => {
  writeFileSync(join(dir, '.state.new'), 'half of something that was longer')
  replaceFile(join(dir, 'state'), 'whole')
  expect(readFileSync(join(dir, 'state'), 'utf8')).toBe('whole')
  expect(readdirSync(dir)).toEqual(['state'])
})

it('leaves the old content and no temporary file where it fails', () => {
  const path = join(dir, 'taken')
  mkdirSync(join(path, 'full'), { recursive: true })
  expect(() => replaceFile(path, 'new', { temporary: join(dir, 'elsewhere') })).toThrow('EISDIR')
  expect(readdirSync(dir).toSorted()).toEqual(['state', 'taken'])
})
