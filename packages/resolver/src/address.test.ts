import { isIP } from 'node:net'
import { expect, it } from 'vitest'
import { addressBytes, addressText } from './address.ts'

it.each([
  ['10.0.0.1', '0a000001'],
  ['::', '00'.repeat(16)],
  ['::1', `${'00'.repeat(15)}01`],
  ['fd00:1::5', `fd000001${'00'.repeat(11)}05`],
  ['1:0:0:2::3', '00010000000000020000000000000003'],
  ['1::2:0:0:3', '00010000000000000002000000000003'],
  ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001'],
])('reads and writes %s', (text, hex) => {
  expect(Buffer.from(addressBytes(text)!).toString('hex')).toBe(hex)
  const canonical =
    new Map([
      ['1:0:0:2::3', '1:0:0:2::3'],
      ['1::2:0:0:3', '1::2:0:0:3'],
    ]).get(text) ?? text
  expect(addressText(addressBytes(text)!)).toBe(canonical)
})

it('reads an IPv4 address within an IPv6 one', () => {
  expect(Buffer.from(addressBytes('::ffff:1.2.3.4')!).toString('hex')).toBe(`${'00'.repeat(10)}ffff01020304`)
})

it('takes the same texts for addresses as the machine does, zones apart', () => {
  const pieces = ['1', '0', 'ff', ':', '::', '.', '256', '10', 'g', '', '01']
  let state = 7
  const random = () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 8
  let good = 0
  for (let round = 0; round < 100_000; round++) {
    const text = Array.from({ length: random() % 16 }, () => pieces[random() % pieces.length]!).join('')
    const bytes = addressBytes(text)
    expect([text, bytes?.length ?? 0]).toEqual([text, { 0: 0, 4: 4, 6: 16 }[isIP(text)]])
    if (!bytes) continue
    good++
    expect(addressBytes(addressText(bytes))).toEqual(bytes)
  }
  expect(good).toBeGreaterThan(100)
})
