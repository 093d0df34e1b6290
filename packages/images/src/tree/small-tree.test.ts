import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AT_FDCWD, closeFd, O_DIRECTORY, openat2 } from '@holdfast/core'
import { removeIfSmall } from './small-tree.ts'

let base: string
let parent: number

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'hf-small-'))
  parent = openat2(AT_FDCWD, base, { flags: O_DIRECTORY })
})
afterEach(() => {
  closeFd(parent)
  rmSync(base, { recursive: true })
})

const remove = (name: string): boolean => removeIfSmall(parent, Buffer.from(name))

function tree(): string {
  const path = join(base, 'tree')
  mkdirSync(join(path, 'diff', 'etc', 'deep'), { recursive: true })
  writeFileSync(join(path, 'diff', 'etc', 'hosts'), 'x')
  return path
}

describe('a small tree', () => {
  it('is removed at once', () => {
    tree()
    expect(remove('tree')).toBe(true)
    expect(readdirSync(base)).toEqual([])
  })

  it('ends at a symbolic link', () => {
    const path = tree()
    const outside = mkdtempSync(join(tmpdir(), 'hf-outside-'))
    writeFileSync(join(outside, 'kept'), '')
    symlinkSync(outside, join(path, 'diff', 'link'))
    symlinkSync(outside, join(base, 'link'))
    expect(remove('tree')).toBe(true)
    expect(remove('link')).toBe(true)
    expect(existsSync(join(outside, 'kept'))).toBe(true)
    rmSync(outside, { recursive: true })
  })

  it('is one with few entries and no large file; any other stays as it is', () => {
    const path = tree()
    const large = join(path, 'diff', 'large')
    writeFileSync(large, Buffer.alloc((1 << 20) + 1))
    expect(remove('tree')).toBe(false)
    expect(existsSync(join(path, 'diff', 'etc', 'hosts'))).toBe(true)
    rmSync(large)
    for (let count = 0; count < 64; count++) writeFileSync(join(path, `file${count}`), '')
    expect(remove('tree')).toBe(false)
    expect(readdirSync(path)).toHaveLength(65)
  })
})
