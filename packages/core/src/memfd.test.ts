import { readFileSync, statSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { closeFd, writeFd } from './descriptor.ts'
import { ftruncate } from './file.ts'
import { memfdCreate, memfdSeals, F_SEAL_WRITE } from './memfd.ts'

describe('memfdCreate', () => {
  it('makes an executable file with the content', () => {
    const fd = memfdCreate('a file', Buffer.from('hello'))
    expect(readFileSync(`/proc/self/fd/${fd}`, 'utf8')).toBe('hello')
    expect(statSync(`/proc/self/fd/${fd}`).mode & 0o111).toBe(0o111)
    expect(memfdSeals(fd)).toBe(0)
    closeFd(fd)
  })

  it('seals it for good', () => {
    const fd = memfdCreate('sealed', Buffer.alloc(100_000, 1), true)
    expect(memfdSeals(fd) & F_SEAL_WRITE).toBe(F_SEAL_WRITE)
    expect(() => writeFd(fd, 'x')).toThrow(/EPERM/)
    expect(() => ftruncate(fd, 0)).toThrow(/EPERM/)
    closeFd(fd)
  })
})
