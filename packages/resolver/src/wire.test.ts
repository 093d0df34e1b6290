import { expect, it } from 'vitest'
import { bytes, name } from './message.test-support.ts'
import { encodeName, readName, readRecord, skipName } from './wire.ts'

it('reads a name in lower case, and by way of a pointer', () => {
  const message = bytes([...name('WeB.Example'), 3], 'ff 2e 5c', 'c000')
  expect(readName(message, 0)).toEqual({ name: 'web.example', end: 13 })
  expect(readName(message, 13)).toEqual({ name: '\\255\\046\\092.web.example', end: 19 })
})

it('reads the root', () => {
  expect(readName(bytes('00'), 0)).toEqual({ name: '', end: 1 })
})

it.each([
  ['a pointer to itself', 'c000'],
  ['pointers at each other', 'c002 c000'],
  ['a pointer forward', 'c002 00'],
  ['a pointer into the name it ends', '01 61 c000'],
  ['half a pointer', 'c0'],
  ['a label that is cut off', '05 61 62'],
  ['a name without an end', '01 61'],
  ['a label of a kind that is reserved', '41 61 00'],
  ['nothing', ''],
])('takes %s for no name', (_what, hex) => {
  expect(readName(bytes(hex), 0)).toBeUndefined()
})

it('takes a name of 256 bytes for none, and one of 255 for one', () => {
  const label = 'x'.repeat(63)
  const longest = [label, label, label, 'x'.repeat(61)].join('.')
  expect(readName(bytes(name(longest)), 0)?.name).toBe(longest)
  expect(readName(bytes(name(`${longest}x`)), 0)).toBeUndefined()
  expect(encodeName(longest)).toEqual(bytes(name(longest)))
  expect(encodeName(`${longest}x`)).toBeUndefined()
})

it('does not follow ever longer chains of pointers', () => {
  // 63 bytes at the start, then pointers each to the one before with a label of 63 bytes in front of it.
  const label = [63, ...Array.from({ length: 63 }, () => 0x61)]
  const message = bytes(
    name(''),
    ...Array.from({ length: 10 }, (_, index) => [
      ...label,
      0xc0 | ((index * 66) >> 8),
      index === 0 ? 0 : (1 + (index - 1) * 66) & 255,
    ]),
  )
  expect(readName(message, 1 + 9 * 66)).toBeUndefined()
})

it('encodes no name with an empty or too long label, or with a byte that needs an escape', () => {
  for (const text of ['a..b', '.a', 'x'.repeat(64), 'a b', 'ä', 'a\\046b'])
    expect(encodeName(text)).toBeUndefined()
})

it('skips a name and reads a record within the message alone', () => {
  const message = bytes(name('a'), '0001 0001 0000003c 0004 01020304')
  expect(skipName(message, 0)).toBe(3)
  expect(readRecord(message, 0)).toEqual({ start: 0, type: 1, class: 1, ttl: 60, dataStart: 13, end: 17 })
  for (let size = 0; size < message.length; size++)
    expect(readRecord(message.subarray(0, size), 0)).toBeUndefined()
})
