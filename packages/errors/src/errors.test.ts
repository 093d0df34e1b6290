import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

import { errorCodes, hasCode, HoldfastError, SyscallError } from './index.ts'

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
