import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  closeFd,
  dupCloexec,
  flock,
  isNonblocking,
  pipe2,
  readFd,
  readFdInto,
  setNonblocking,
  writeFd,
} from './descriptor.ts'
import { O_NONBLOCK, O_RDONLY, openat2, AT_FDCWD } from './path.ts'
import { fionread, splice } from './splice.ts'

const isCloexec = (fd: number) =>
  (Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8) &
    0o2000000) !==
  0

describe('descriptors', () => {
  it('reads and writes, tells waiting from the end', () => {
    const { read, write } = pipe2(O_NONBLOCK)
    expect(readFd(read, 10)).toBeUndefined()
    expect(writeFd(write, 'abc')).toBe(3)
    const into = Buffer.from('....')
    expect(readFdInto(read, into, 1)).toBe(3)
    expect(into.toString()).toBe('.abc')
    expect(writeFd(write, Buffer.alloc(1 << 20))).toBe(65536)
    expect(writeFd(write, 'more')).toBe(0)
    closeFd(write)
    expect(readFd(read, 1 << 20)).toHaveLength(65536)
    expect(readFd(read, 10)).toHaveLength(0)
    closeFd(read)
    expect(() => closeFd(read)).toThrow(/EBADF/)
  })

  it('closes everything on exec', () => {
    const { read, write } = pipe2()
    const copy = dupCloexec(read, 100)
    expect(copy).toBeGreaterThanOrEqual(100)
    const file = openat2(AT_FDCWD, '/dev/null', { flags: O_RDONLY })
    expect([read, write, copy, file].map(isCloexec)).toEqual([true, true, true, true])
    for (const fd of [read, write, copy, file]) closeFd(fd)
  })

  it('switches O_NONBLOCK on and off', () => {
    const { read, write } = pipe2()
    setNonblocking(read)
    expect(isNonblocking(read)).toBe(true)
    setNonblocking(read, false)
    expect(isNonblocking(read)).toBe(false)
    closeFd(read)
    closeFd(write)
  })

  it('locks out a second opener', () => {
    const [a, b] = [0, 0].map(() => openat2(AT_FDCWD, import.meta.filename)) as [number, number]
    expect(flock(a, 'exclusive')).toBe(true)
    expect(flock(b, 'shared')).toBe(false)
    flock(a, 'unlock')
    expect(flock(b, 'shared')).toBe(true)
    closeFd(a)
    closeFd(b)
  })
})

describe('splice', () => {
  it('moves what is there, and tells waiting from the end', () => {
    const from = pipe2(O_NONBLOCK)
    const to = pipe2(O_NONBLOCK)
    expect(splice(from.read, to.write, 100)).toBeUndefined()
    writeFd(from.write, 'hello')
    expect(splice(from.read, to.write, 3)).toBe(3)
    expect([fionread(from.read), fionread(to.read)]).toEqual([2, 3])
    expect(splice(from.read, to.write, 100)).toBe(2)
    expect(readFd(to.read, 100)?.toString()).toBe('hello')
    closeFd(from.write)
    expect(splice(from.read, to.write, 100)).toBe(0)
    for (const fd of [from.read, to.read, to.write]) closeFd(fd)
  })
})
