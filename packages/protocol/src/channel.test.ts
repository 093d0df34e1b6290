import { expect, it } from 'vitest'
import { decodeChannelFrame, encodeClose, encodeStream, encodeWindow, streamWindow } from './channel.ts'
import { ReceiveWindow } from './receive-window.ts'
import { SendQueue } from './send-queue.ts'

const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex')
const bytes = (text: string) => Buffer.from(text, 'hex')

it('frames a stream as channel, kind and payload', () => {
  expect(hex(encodeStream(7, 'stderr', Buffer.from('hi')))).toBe('00000007026869')
  expect(hex(encodeWindow(0x01020304, 65_536))).toBe('010203040300010000')
  expect(hex(encodeClose(1, 'lagged'))).toBe('000000010401')
  expect(decodeChannelFrame(bytes('ffffffff0061'))).toEqual({
    channel: 0xffff_ffff,
    kind: 'stdin',
    payload: Buffer.from('a'),
  })
  expect(decodeChannelFrame(bytes('0000000700'))).toMatchObject({ kind: 'stdin', payload: { length: 0 } })
  expect(decodeChannelFrame(bytes('000000070300010000'))).toMatchObject({ kind: 'window', bytes: 65_536 })
  expect(decodeChannelFrame(bytes('000000070402'))).toMatchObject({ kind: 'close', reason: 'detached' })
})

it.each(['', '00000007', '0000000705', '00000007030001', '000000070403', '0000000704'])(
  'refuses the frame %j',
  (frame) => {
    expect(() => decodeChannelFrame(bytes(frame))).toThrow(expect.objectContaining({ code: 'HF_PROTOCOL' }))
  },
)

it('sends no more than there is room for, and the rest in order as room is made', async () => {
  const sent: Uint8Array[] = []
  const queue = new SendQueue((_stream, payload) => sent.push(new Uint8Array(payload)))
  const text = Buffer.alloc(streamWindow + 100_000, 'x')
  text.write('end', text.length - 3)
  queue.push('stdout', text)
  text.fill('y') // what waits is a copy
  expect(Buffer.concat(sent)).toHaveLength(streamWindow)
  expect(queue.onItsWay).toBe(streamWindow + 100_000)
  let idle = false
  const whenIdle = queue.whenIdle().then(() => (idle = true))
  queue.grant(65_536)
  await Promise.resolve()
  expect(idle).toBe(false)
  queue.grant(65_536)
  await whenIdle
  const all = Buffer.concat(sent).toString()
  expect(all).toHaveLength(streamWindow + 100_000)
  expect(all.endsWith('xxend')).toBe(true)
  expect(queue.onItsWay).toBe(streamWindow + 100_000 - 2 * 65_536)
})

it('refuses room for what was never sent', () => {
  expect(() => new SendQueue(() => {}).grant(1)).toThrow(expect.objectContaining({ code: 'HF_PROTOCOL' }))
})

it('drops what waits, and says that nothing waits any more', async () => {
  const queue = new SendQueue(() => {})
  queue.push('stdin', Buffer.alloc(streamWindow + 1))
  queue.drop()
  await queue.whenIdle()
  expect(queue.idle).toBe(true)
})

it('makes room in large steps, and takes no more than it has made', () => {
  const window = new ReceiveWindow()
  window.received(streamWindow)
  expect(window.taken(1000)).toBe(0)
  expect(() => window.received(1)).toThrow(expect.objectContaining({ code: 'HF_PROTOCOL' }))
  const other = new ReceiveWindow()
  other.received(streamWindow)
  expect(other.taken(streamWindow / 2)).toBe(streamWindow / 2)
  other.received(streamWindow / 2)
})
