import { closeFd, sendMessage, socketpair } from '@holdfast/core'
import { expect, it } from 'vitest'
import { Door, nothingBehind } from './door.ts'

it('goes on without a keeper that was killed before it was entrusted', () => {
  const [trust, keeper] = socketpair('seqpacket')
  const [door, init] = socketpair('seqpacket')
  closeFd(keeper)
  new Door({ door, trust }, nothingBehind).entrust()
  for (const fd of [trust, door, init]) closeFd(fd)
})

it('tells whether somebody stands behind it', () => {
  const [fd, init] = socketpair('seqpacket')
  const door = new Door({ door: fd }, nothingBehind)
  expect(door.passed).toBe(false)
  sendMessage(init, 'a report that nobody has read')
  expect(door.passed).toBe(false)
  closeFd(init)
  expect(door.passed).toBe(false) // what was said comes first
  door.close()
  const [other, gone] = socketpair('seqpacket')
  closeFd(gone)
  const passed = new Door({ door: other }, nothingBehind)
  expect(passed.passed).toBe(true)
  passed.close()
})

it('was opened by the shim before where that had entrusted it and nobody is behind it', async () => {
  const [taken, gone] = socketpair('seqpacket')
  closeFd(gone)
  const adopted = new Door({ door: taken }, nothingBehind)
  expect(adopted.unlock()).toBe(true)
  await adopted.opened()
  const [own, killed] = socketpair('seqpacket')
  const [trust, keeper] = socketpair('seqpacket')
  closeFd(killed)
  const launched = new Door({ door: own, trust }, nothingBehind)
  expect(launched.unlock()).toBe(false)
  await expect(launched.opened()).rejects.toMatchObject({ code: 'HF_CONTAINER_NOT_RUNNING' })
  closeFd(trust)
  closeFd(keeper)
})
