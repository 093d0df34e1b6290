import { describe, expect, it } from 'vitest'
import { check, errnoName } from './native.ts'

describe('check', () => {
  it('passes results on', () => {
    expect(check(3, 'open')).toBe(3)
  })

  it('turns -errno into an error with name, call, path and hint', () => {
    let caught: unknown
    try {
      check(-2, 'openat2', { path: Buffer.from('/nowhere'), hints: { ENOENT: 'Make it first.' } })
    } catch (error) {
      caught = error
    }
    expect(caught).toMatchObject({
      name: 'SyscallError',
      code: 'ENOENT',
      errno: 2,
      syscall: 'openat2',
      path: '/nowhere',
      hint: 'Make it first.',
    })
  })

  it('names the errnos that Node has no name for, and one name where two share a number', () => {
    expect([1, 11, 22, 87, 95, 117, 4000].map(errnoName)).toEqual([
      'EPERM',
      'EAGAIN',
      'EINVAL',
      'EUSERS',
      'ENOTSUP',
      'EUCLEAN',
      'errno 4000',
    ])
  })
})
