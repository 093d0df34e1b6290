import { describe, expect, it } from 'vitest'
import { AT_FDCWD, checkDirfd, checkFd, checkId, checkPath, checkUnsigned64 } from './argument.ts'
import { mkdirat } from './file.ts'
import { idMapText } from './namespace.ts'
import { openat2 } from './path.ts'

describe('arguments', () => {
  it.each([-1, 1.9, NaN, 2 ** 32, 2 ** 31, Infinity, '3' as unknown as number])(
    'refuses descriptor %s',
    (fd) => {
      expect(() => checkFd(fd)).toThrow(/^fd must be an integer/)
    },
  )

  it('takes AT_FDCWD for a directory only', () => {
    expect(checkDirfd(AT_FDCWD)).toBe(AT_FDCWD)
    expect(() => checkFd(AT_FDCWD)).toThrow()
  })

  it('refuses ids that the kernel would read as root or as "unchanged"', () => {
    for (const id of [2 ** 32, -1, 0xffff_ffff]) expect(() => checkId(id, 'uid')).toThrow(/uid/)
    expect(checkId(0xffff_fffe, 'uid')).toBe(0xffff_fffe)
  })

  it('refuses a NUL byte instead of cutting the path there', () => {
    expect(() => openat2(AT_FDCWD, '/etc\0/../root')).toThrow(/NUL/)
    expect(() => mkdirat(AT_FDCWD, Buffer.from('a\0b'), 0o755)).toThrow(/NUL/)
    expect(checkPath(Buffer.from([0x61, 0xff]))).toHaveLength(2)
  })

  it('keeps 64-bit numbers exact', () => {
    expect(checkUnsigned64(0xffff_ffff_ffff_ffffn, 'n')).toBe(0xffff_ffff_ffff_ffffn)
    expect(() => checkUnsigned64(2 ** 53, 'n')).toThrow(/safe integer/)
    expect(() => checkUnsigned64(-1, 'n')).toThrow(/2\^64/)
    expect(() => checkUnsigned64(1n << 64n, 'n')).toThrow(/2\^64/)
  })

  it('writes id maps as the kernel reads them, and refuses those that wrap', () => {
    const line = { containerID: 0, hostID: 0x7000_0000, size: 65536 }
    expect(idMapText([line, { containerID: 65536, hostID: 5, size: 1 }], 'uid')).toBe(
      '0 1879048192 65536\n65536 5 1\n',
    )
    expect(() => idMapText([], 'uid')).toThrow(/1 to 340/)
    expect(() => idMapText([{ ...line, hostID: 0xffff_0000 }], 'uid')).toThrow(/hostID/)
    expect(() => idMapText([{ ...line, size: 0 }], 'uid')).toThrow(/size/)
  })
})
