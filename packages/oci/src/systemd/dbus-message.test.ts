import { describe, expect, it } from 'vitest'
import { decodeMessage, encodeMessage, type DbusMessage } from './dbus-message.ts'

describe('a D-Bus message', () => {
  it('is encoded as the specification lays it out', () => {
    const message: DbusMessage = {
      type: 'call',
      serial: 1,
      path: '/a',
      member: 'Do',
      destination: 'x.y',
      body: ['hi', true, [['k', { signature: 't', value: 5n }]]],
    }
    expect(encodeMessage(message, 'sba(sv)').toString('hex')).toBe(
      [
        '6c010001', // little-endian, a call, no flags, version 1
        '28000000', // the body's length
        '01000000', // serial
        '3d000000', // the header fields' length
        '01016f00 02000000 2f6100 0000000000', // path o
        '03017300 02000000 446f00 0000000000', // member s
        '06017300 03000000 782e7900 00000000', // destination s
        '08016700 07 736261287376 2900', // signature g
        '000000', // to a multiple of 8
        '02000000 686900 00', // 'hi', to a multiple of 4
        '01000000', // true
        '18000000', // the array's length, without the padding before its first element
        '01000000 6b00', // 'k'
        '01 7400', // a variant of signature t
        '00000000000000', // to a multiple of 8
        '0500000000000000',
      ]
        .join('')
        .replaceAll(' ', ''),
    )
  })

  it('is decoded from what comes in pieces, and the next one begins behind it', () => {
    const signal: DbusMessage = {
      type: 'signal',
      serial: 7,
      path: '/org/freedesktop/systemd1',
      interface: 'org.freedesktop.systemd1.Manager',
      member: 'JobRemoved',
      body: [4711, '/org/freedesktop/systemd1/job/4711', 'a.scope', 'done'],
    }
    const frame = encodeMessage(signal, 'uoss')
    for (const length of [0, 15, 16, frame.length - 1])
      expect(decodeMessage(frame.subarray(0, length))).toBeUndefined()
    const { message, length } = decodeMessage(Buffer.concat([frame, frame]))!
    expect(length).toBe(frame.length)
    expect({ ...message, body: message.body }).toEqual(signal)
  })

  it('keeps every type that is spoken', () => {
    const values = [7, -1, 2 ** 32 - 1, -(2n ** 62n), 2n ** 64n - 1n, '/o', 'ü', [['x', ['y']]]]
    const frame = encodeMessage({ type: 'return', serial: 2, replySerial: 1, body: values }, 'yiuxtosa(sas)')
    expect(decodeMessage(frame)!.message.body).toEqual(values)
  })

  it('of which nobody reads the body may have any in it', () => {
    const frame = encodeMessage({ type: 'signal', serial: 3, member: 'M', body: ['x'] }, 's')
    const other = Buffer.from(frame)
    other.write('d', other.lastIndexOf('\x01s\0') + 1) // the body's signature
    expect(decodeMessage(other)!.message.member).toBe('M')
    expect(() => decodeMessage(other)!.message.body).toThrow('no D-Bus type that is spoken here')
  })

  it('of another byte order or version is refused', () => {
    expect(() => decodeMessage(Buffer.from(`B${'\0'.repeat(15)}`))).toThrow('no little-endian D-Bus message')
  })
})
