import { expect, it } from 'vitest'
import {
  nestedAttribute,
  netlinkAttribute,
  netlinkAttributes,
  netlinkErrno,
  netlinkMessages,
  netlinkRequest,
  NLM_F_ACK,
} from './netlink-message.ts'

const hex = (bytes: string) => Buffer.from(bytes.replaceAll(/\s/g, ''), 'hex')
const family = Uint8Array.of(2, 0, 0, 0)

it('writes a header, the family, and attributes that are padded', () => {
  const name = netlinkAttribute(1, Buffer.from('x\0'))
  const flags = nestedAttribute(2, [netlinkAttribute(3, Uint8Array.of(9))])
  expect(netlinkRequest({ type: 0x0a00, flags: NLM_F_ACK, sequence: 7 }, [family, name, flags])).toEqual(
    hex('28000000 000a 0500 07000000 00000000 02000000 0600 0100 7800 0000 0c00 0280 0500 0300 09 000000'),
  )
})

it('reads attributes by type, whether nested or in network order, up to one that is cut off', () => {
  const data = hex('0600 0100 7800 0000 0500 0280 09 000000 0900 0300 01')
  expect([...netlinkAttributes(data)]).toEqual([
    [1, hex('7800')],
    [2, hex('09')],
  ])
})

it('reads the messages of a datagram, and the errno of an answer', () => {
  const datagram = hex(
    '14000000 0200 0000 01000000 00000000 ffffffff 13000000 1000 0000 02000000 00000000 010203 00',
  )
  const [answer, other, ...rest] = netlinkMessages(datagram)
  expect(netlinkErrno(answer!)).toBe(1)
  expect(other).toEqual({ type: 16, payload: hex('010203') })
  expect(rest).toEqual([])
})

it.each([
  '',
  '14000000 0200',
  '18000000 0200 0000 01000000 00000000 ffffffff',
  '04000000 0200 0000 01000000 00000000',
])('takes no message from a datagram that is cut off or lies about its length: %s', (bytes) =>
  expect(netlinkMessages(hex(bytes))).toEqual([]),
)
