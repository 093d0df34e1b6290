import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AT_FDCWD, lsetxattrat, mknodat, S_IFCHR, S_IFIFO } from '@holdfast/core'
import { temporaryDirectory } from '@holdfast/testkit'
import { readInSnapshot, type Snapshot } from '../src/index.ts'

const isRoot = process.getuid?.() === 0

let directory: string
let snapshot: Snapshot
let cleanUp: () => void

beforeEach(() => {
  const temporary = temporaryDirectory()
  directory = temporary.path
  cleanUp = () => temporary[Symbol.dispose]()
  const layer = (name: string) => {
    mkdirSync(join(directory, name))
    return join(directory, name)
  }
  snapshot = { lower: [layer('high'), layer('low')], upper: layer('upper'), work: layer('work') }
})

afterEach(() => cleanUp())

const read = (path: string, limit = 1 << 20) => readInSnapshot(snapshot, path, limit)?.toString()

function put(layer: string, path: string, content: string): void {
  const file = join(directory, layer, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
}

function link(layer: string, path: string, target: string): void {
  const file = join(directory, layer, path)
  mkdirSync(dirname(file), { recursive: true })
  symlinkSync(target, file)
}

const whiteout = (layer: string, path: string) =>
  mknodat(AT_FDCWD, join(directory, layer, path), S_IFCHR, 0, 0)

describe.skipIf(!isRoot)('readInSnapshot', () => {
  it('finds a file in the topmost layer that has it', () => {
    put('low', 'etc/passwd', 'low')
    expect(read('/etc/passwd')).toBe('low')
    put('high', 'etc/passwd', 'high')
    expect(read('/etc/passwd')).toBe('high')
    put('upper', 'etc/passwd', 'upper')
    expect(read('etc/passwd')).toBe('upper')
    expect(read('//etc/./group/../../etc//passwd')).toBeUndefined()
    expect(read('/etc/./passwd')).toBe('upper')
  })

  it('finds nothing below a whiteout, an opaque directory or a file in the way', () => {
    put('low', 'a/f', '1')
    put('low', 'b/f', '1')
    put('low', 'c/f', '1')
    put('low', 'd/e/f', '1')
    mkdirSync(join(directory, 'high/a'))
    whiteout('high', 'a/f')
    mkdirSync(join(directory, 'high/b'))
    lsetxattrat(AT_FDCWD, join(directory, 'high/b'), 'trusted.overlay.opaque', Buffer.from('y'))
    put('high', 'c', 'a file')
    whiteout('high', 'd')
    mkdirSync(join(directory, 'upper/d/e'), { recursive: true })
    for (const path of ['/a/f', '/b/f', '/c/f', '/d/e/f']) expect(read(path), path).toBeUndefined()
    expect(read('/c')).toBe('a file')
    put('upper', 'd/e/g', 'beside the whiteout')
    expect(read('/d/e/g')).toBe('beside the whiteout')
    put('upper', 'b/g', 'new')
    expect(read('/b/g')).toBe('new')
  })

  it('agrees with overlay', () => {
    put('low', 'a/x', '1')
    put('low', 'a/y', '2')
    put('high', 'a/y', '3')
    put('upper', 'b/z', '4')
    link('high', 'l', '/a/../b')
    link('low', 'b/up', '../../../../a/y')
    const paths = [
      '/a/x',
      '/a/y',
      '/b/z',
      '/l/z',
      '/l/up',
      '/b/up',
      '/b/../a/x',
      '/l/../a/x',
      '/../a/x',
      '/a/x/../y',
      '/a/',
    ]
    const script = `mount -t overlay o -o "lowerdir=$1,upperdir=$2,workdir=$3" /mnt
      cd /mnt; shift 3; for path; do printf '%s\\n' "$(chroot /mnt /busybox cat "$path" 2>/dev/null)"; done`
    execFileSync('cp', ['/bin/busybox', join(directory, 'low/busybox')])
    const arguments_ = [snapshot.lower.join(':'), snapshot.upper, snapshot.work, ...paths]
    const expected = execFileSync('unshare', ['-m', 'sh', '-euc', script, '-', ...arguments_])
      .toString()
      .split('\n')
    expect(paths.map((path) => read(path) ?? '')).toEqual(expected.slice(0, -1))
  })

  it('resolves links inside the tree and never outside', () => {
    put('low', 'usr/lib/file', 'inside')
    link('high', 'lib', 'usr/lib')
    link('high', 'abs', '/usr/lib/file')
    link('high', 'up', '../../../../../../usr/lib/file')
    link('high', 'etc/out', join(directory, 'canary'))
    writeFileSync(join(directory, 'canary'), 'outside')
    link('high', 'deep/er/abs', '/usr/lib/file')
    for (const path of ['/lib/file', '/abs', '/up', '/deep/er/abs']) expect(read(path), path).toBe('inside')
    expect(read('/etc/out')).toBeUndefined()
    expect(read(`/../../..${directory}/canary`)).toBeUndefined()
  })

  it('gives up on links that go round', () => {
    link('low', 'a', 'b')
    link('low', 'b', 'a')
    link('low', 'self', 'self/self/self')
    expect([read('/a'), read('/self')]).toEqual([undefined, undefined])
    for (let i = 0; i < 39; i++) link('low', `n${i}`, `n${i + 1}`)
    put('low', 'n39', 'end')
    expect(read('/n0')).toBe('end')
    link('low', 'm0', 'm1')
    link('low', 'm1', 'n0')
    expect(read('/m0')).toBeUndefined()
  })

  it('never blocks on a FIFO or opens a device, and reads no directory', () => {
    mkdirSync(join(directory, 'upper/etc'))
    mknodat(AT_FDCWD, join(directory, 'upper/etc/passwd'), S_IFIFO | 0o644)
    mknodat(AT_FDCWD, join(directory, 'upper/etc/zero'), S_IFCHR | 0o644, 1, 5)
    expect([read('/etc/passwd'), read('/etc/zero'), read('/etc'), read('/'), read('')]).toEqual(
      Array(5).fill(undefined),
    )
  })

  it('finds the data of a file whose owner alone was changed, and says when a directory was redirected', () => {
    put('low', 'etc/passwd', 'data')
    put('upper', 'etc/passwd', '')
    lsetxattrat(AT_FDCWD, join(directory, 'upper/etc/passwd'), 'trusted.overlay.metacopy', Buffer.from(''))
    expect(read('/etc/passwd')).toBe('data')
    lsetxattrat(AT_FDCWD, join(directory, 'upper/etc'), 'trusted.overlay.redirect', Buffer.from('old'))
    expect(() => read('/etc/passwd')).toThrow(expect.objectContaining({ code: 'HF_UNSUPPORTED' }))
  })

  it('reads no more than the limit', () => {
    put('upper', 'big', 'x'.repeat(200_000))
    expect(read('/big', 10)).toBe('xxxxxxxxxx')
    expect(read('/big', 150_000)).toHaveLength(150_000)
    expect(read('/big')).toHaveLength(200_000)
  })

  it('takes missing files, over-long names and over-long paths for missing', () => {
    put('upper', 'f', 'x')
    for (const path of ['/none', '/f/x', `/${'n'.repeat(300)}`, '/d'.repeat(3000)])
      expect(read(path)).toBeUndefined()
  })
})
