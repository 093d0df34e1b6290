import { closeFd, pipe2, readFd, socketpair, writeFd } from '@holdfast/core'
import { expect, it } from 'vitest'
import { receiveJson, sendJson, type DescriptorMessage } from './descriptor-message.ts'

it.each([
  ['in the message itself', 10],
  ['in a file in memory where it is large', 3 << 20],
])('carries JSON with its descriptors by name, %s', (_where, length) => {
  const [ours, theirs] = socketpair('seqpacket')
  const pipe = pipe2()
  const body = { text: 'ü'.repeat(length) }
  expect(receiveJson(theirs)).toBeUndefined()
  sendJson(ours, body, { out: pipe.write, in: pipe.read })
  const { body: received, fds } = receiveJson(theirs) as DescriptorMessage
  expect(received).toEqual(body)
  expect(Object.keys(fds)).toEqual(['out', 'in'])
  writeFd(fds['out']!, 'through')
  expect(readFd(pipe.read, 10)?.toString()).toBe('through')
  closeFd(ours)
  expect(receiveJson(theirs)).toBe('end')
  for (const fd of [theirs, pipe.read, pipe.write, ...Object.values(fds)]) closeFd(fd)
})
