import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

import { errorCodes, hasCode, HoldfastError, isDiskFull, nameDiskFull, SyscallError } from './index.ts'

describe('the registry', () => {
  it('is what docs/errors.md says, both ways', () => {
    const text = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8')
    const documented = Object.fromEntries(
      [...text.matchAll(/^\| `(HF_\w+)` \| (.*) \|$/gm)].map(([, code, when]) => [code, when]),
    )
    expect(documented).toEqual(errorCodes)
  })
})

describe('HoldfastError', () => {
  it('crosses a socket with code, message, hint and details', () => {
    const error = new HoldfastError('HF_PORT_IN_USE', 'port 80 is taken', {
      hint: 'choose another',
      details: { holder: 'nginx' },
    })
    const copy = HoldfastError.fromJSON(JSON.parse(JSON.stringify(error)))
    expect(copy).toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: 'port 80 is taken',
      hint: 'choose another',
      details: { holder: 'nginx' },
    })
    expect(hasCode(copy, 'HF_TIMEOUT', 'HF_PORT_IN_USE')).toBe(true)
    expect(hasCode(copy, 'HF_TIMEOUT')).toBe(false)
  })
})

describe('SyscallError', () => {
  it('says what failed, where, and in which step', () => {
    const error = new SyscallError({
      errno: 1,
      code: 'EPERM',
      syscall: 'move_mount',
      path: 'a',
      dest: '/b',
      step: 'mount proc',
    })
    expect(error.message).toBe("move_mount 'a' -> '/b': EPERM (step: mount proc)")
    expect(hasCode(error, 'EPERM')).toBe(true)
  })
  it('leaves out what it does not know', () => {
    expect(new SyscallError({ errno: 2, code: 'ENOENT', syscall: 'clone3' }).message).toBe('clone3: ENOENT')
  })
})

describe('a full disk', () => {
  const full = new SyscallError({ errno: 28, code: 'ENOSPC', syscall: 'write', path: '/a' })
  it('is one code, whoever met it', () => {
    const sqlite = Object.assign(new Error('database or disk is full'), {
      code: 'ERR_SQLITE_ERROR',
      errcode: 13,
    })
    for (const error of [full, sqlite]) {
      expect(nameDiskFull(error)).toMatchObject({ code: 'HF_DISK_FULL', cause: error })
      expect(isDiskFull(error)).toBe(true)
    }
    expect(nameDiskFull(full)).toMatchObject({ details: { path: '/a' } })
    expect(nameDiskFull(full, '/var/lib')).toMatchObject({
      message: 'no space left on the file system of /var/lib',
      details: { path: '/var/lib' },
    })
  })
  it('is named once, and nothing else is', () => {
    const named = nameDiskFull(full)
    expect(nameDiskFull(named)).toBe(named)
    const other = new SyscallError({ errno: 2, code: 'ENOENT', syscall: 'open', path: '/a' })
    for (const error of [other, undefined, null, 'ENOSPC']) {
      expect(nameDiskFull(error)).toBe(error)
      expect(isDiskFull(error)).toBe(false)
    }
  })
})
