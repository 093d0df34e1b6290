import type { Step } from '@holdfast/plan'
import { constants } from 'node:os'
import { expect, it } from 'vitest'
import { launchError } from './launch-error.ts'

it('advises on a bind whose file system maps no ids', () => {
  const step: Step = {
    do: 'stage-bind',
    as: 'data',
    source: '/data',
    recursive: true,
    attributes: { set: {}, clear: [] },
  }
  const failure = {
    kind: 'error',
    step: 0,
    errno: constants.errno.EOPNOTSUPP,
    syscall: 'mount_setattr',
    detail: '/data',
  } as const
  expect(launchError(failure, [step])).toMatchObject({
    code: 'ENOTSUP',
    syscall: 'mount_setattr',
    path: '/data',
    hint: expect.stringContaining('cannot map ids') as string,
  })
})
