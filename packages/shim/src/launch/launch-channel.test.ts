import { closeFd, sendMessage, socketpair } from '@holdfast/core'
import { expect, it } from 'vitest'
import { LaunchChannel } from './launch-channel.ts'

/** `error` of step 7: u32 type, u32 step, i64 errno, and the call. */
function errorReport(): Buffer {
  const head = Buffer.alloc(16)
  head.writeUInt32LE(1, 0)
  head.writeUInt32LE(7, 4)
  head.writeBigInt64LE(2n, 8)
  return Buffer.concat([head, Buffer.from('openat2\0/nosuch\0')])
}

it('hears what was reported by one who ended before it read the answer', async () => {
  const [ours, theirs] = socketpair('seqpacket')
  const channel = new LaunchChannel(ours)
  channel.answer()
  sendMessage(theirs, errorReport())
  closeFd(theirs)
  const deadline = Date.now() + 10_000
  expect(await channel.next(deadline)).toEqual({
    kind: 'error',
    step: 7,
    errno: 2,
    syscall: 'openat2',
    detail: '/nosuch',
  })
  expect(await channel.next(deadline)).toEqual({ kind: 'end' })
  closeFd(ours)
})
