import { errorCodes, HoldfastError, SyscallError } from '@holdfast/errors'
import { describe, expect, it } from 'vitest'
import { errorAnswer, statusOfCode } from './error-answer.ts'

describe('errorAnswer', () => {
  it('has a status for every code of the registry, and for no other', () => {
    expect(Object.keys(statusOfCode).sort()).toEqual(Object.keys(errorCodes).sort())
  })

  it('ends the message with the hint, which is all that docker shows', () => {
    const error = new HoldfastError('HF_CONTAINER_NOT_FOUND', 'No such container: x', { hint: 'List them.' })
    expect(errorAnswer(error)).toEqual({
      status: 404,
      body: {
        message: 'No such container: x (List them.)',
        code: 'HF_CONTAINER_NOT_FOUND',
        hint: 'List them.',
      },
    })
  })

  it('words a missing or forbidden command so that docker run ends with 127 or 126', () => {
    const missing = errorAnswer(new HoldfastError('HF_COMMAND_NOT_FOUND', 'exec "nosuch"'))
    expect(missing.body.message).toBe('exec "nosuch": executable file not found in $PATH')
    const forbidden = errorAnswer(
      new HoldfastError('HF_COMMAND_NOT_EXECUTABLE', 'exec "/etc": is a directory'),
    )
    expect(forbidden.body.message).toBe('exec "/etc": is a directory')
  })

  it.each([
    new SyscallError({ errno: 24, code: 'EMFILE', syscall: 'openat2' }),
    Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' }),
    new HoldfastError('HF_INTERNAL', 'a shim had it', { details: { code: 'EMFILE' } }),
    new HoldfastError('HF_START_FAILED', 'wrapped', {
      cause: new SyscallError({ errno: 23, code: 'ENFILE', syscall: 'pipe2' }),
    }),
  ])('says of a want of descriptors that it may pass: %o', (error) => {
    expect(errorAnswer(error).status).toBe(503)
  })

  it('passes the errno name and the step of a system call on', () => {
    const error = new SyscallError({ errno: 28, code: 'ENOSPC', syscall: 'mount', step: 'mount(/proc)' })
    expect(errorAnswer(error)).toMatchObject({
      status: 500,
      body: { code: 'ENOSPC', details: { step: 'mount(/proc)' } },
    })
  })
})
