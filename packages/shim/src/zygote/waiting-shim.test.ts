import { closeFd, socketpair, writeFd } from '@holdfast/core'
import { expect, it } from 'vitest'
import { readChannel } from './waiting-shim.ts'

it('takes a zygote that went with something unread for one that has gone', () => {
  const [ours, theirs] = socketpair('stream')
  writeFd(ours, 'ready\n')
  closeFd(theirs)
  expect(readChannel(ours)).toHaveLength(0)
  closeFd(ours)
})
