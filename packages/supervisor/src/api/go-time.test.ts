import { describe, expect, it } from 'vitest'
import { parseGoDuration, parseTimestamp, unixSeconds } from './go-time.ts'

describe('parseTimestamp', () => {
  const now = Date.UTC(2026, 0, 1)
  it.each([
    ['1700000000', 1_700_000_000_000_000_000n],
    ['1700000000.5', 1_700_000_000_500_000_000n],
    ['1700000000.000000001', 1_700_000_000_000_000_001n],
    ['2026-01-01T00:00:00Z', 1_767_225_600_000_000_000n],
    ['2026-01-01T01:00:00.123456789+01:00', 1_767_225_600_123_456_789n],
    ['2026-01-01', 1_767_225_600_000_000_000n],
    ['2026-01-01T00:00', 1_767_225_600_000_000_000n],
    ['1h', 1_767_222_000_000_000_000n],
    ['', undefined],
    ['0', undefined],
  ])('reads %s', (text, nanos) => expect(parseTimestamp('since', text, now)).toBe(nanos))

  it('refuses what is no time and names the field', () => {
    expect(() => parseTimestamp('since', 'yesterday')).toThrow('invalid value for "since": "yesterday"')
    expect(() => parseTimestamp('until', '2026-13-01')).toThrow('until')
  })
})

describe('parseGoDuration', () => {
  it.each([
    ['1h30m', 5_400_000_000_000n],
    ['1.5s', 1_500_000_000n],
    ['-2ms', -2_000_000n],
    ['10', undefined],
    ['1x', undefined],
  ])('%s', (text, nanos) => expect(parseGoDuration(text)).toBe(nanos))
})

describe('record times', () => {
  it('are whole seconds, and 0 for never', () => {
    expect(unixSeconds('1970-01-01T00:00:01.900000002Z')).toBe(1)
    expect(unixSeconds('')).toBe(0)
  })
})
