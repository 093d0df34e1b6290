import { formatTime } from '@holdfast/protocol'
import { expect, it } from 'vitest'
import { nowNanoseconds, nowText, parseTime } from './time.ts'

it.each([
  ['2026-01-02T03:04:05.000000007Z', 1_767_323_045_000_000_007n],
  ['2026-01-02T04:04:05.1+01:00', 1_767_323_045_100_000_000n],
  ['1970-01-01T00:00:01.000000002Z', 1_000_000_002n],
  ['1970-01-02', 86_400_000_000_000n],
  ['yesterday', undefined],
  ['', undefined],
])('reads %s', (text, nanoseconds) => expect(parseTime(text)).toBe(nanoseconds))

it('goes to text and back with every nanosecond', () => {
  expect(formatTime(1_767_323_045_000_000_007n)).toBe('2026-01-02T03:04:05.000000007Z')
  expect(parseTime(nowText())).toBeLessThan(nowNanoseconds())
})
