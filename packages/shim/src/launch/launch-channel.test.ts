import { closeFd, sendMessage, socketpair } from '@holdfast/core'
import { expect, it, vi } from 'vitest'
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
  const deadline = performance.now() + 10_000
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

it('waits as long as it was told to, also where somebody sets the clock meanwhile', async () => {
  const [ours, theirs] = socketpair('seqpacket')
  const channel = new LaunchChannel(ours)
  const deadline = performance.now() + 10_000
  const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 86_400_000)
  try {
    const next = channel.next(deadline)
    setTimeout(() => closeFd(theirs), 20)
    expect(await next).toEqual({ kind: 'end' })
  } finally {
    clock.mockRestore()
    closeFd(ours)
  }
})
