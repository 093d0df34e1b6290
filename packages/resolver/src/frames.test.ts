import { expect, it } from 'vitest'
import { frame, FrameReader } from './frames.ts'
import { bytes } from './message.test-support.ts'

it('finds the messages however the stream is cut', () => {
  const messages = [bytes('01'), bytes(''), bytes('02 03 04')]
  const stream = bytes(...messages.map(frame))
  for (let size = 1; size <= stream.length; size++) {
    const reader = new FrameReader()
    const found: Uint8Array[] = []
    for (let at = 0; at < stream.length; at += size)
      found.push(...reader.push(stream.subarray(at, at + size))!)
    expect(found).toEqual(messages)
  }
})

it('gives up on a message that is longer than it may be', () => {
  expect(new FrameReader(4).push(bytes('0004 01'))).toEqual([])
  expect(new FrameReader(4).push(bytes('0005 01'))).toBeUndefined()
})
