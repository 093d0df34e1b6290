import { HoldfastError } from '@holdfast/errors'
import { parseTime } from '../engine/time.ts'

const unitNanos: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** A duration as Go writes it, `1h30m`, `1.5s`, in nanoseconds. undefined when it is none. */
export function parseGoDuration(text: string): bigint | undefined {
  const match = /^([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)$/.exec(text)
  if (!match) return text === '0' ? 0n : undefined
  let total = 0n
  for (const [, whole = '0', fraction = '', unit = ''] of (match[2] ?? '').matchAll(
    /(\d+)(?:\.(\d+))?(ns|us|µs|ms|s|m|h)/g,
  )) {
    const nanos = unitNanos[unit] ?? 0n
    total += BigInt(whole) * nanos
    if (fraction !== '') total += (BigInt(fraction) * nanos) / 10n ** BigInt(fraction.length)
  }
  return match[1] === '-' ? -total : total
}

/**
 * A moment as Docker's `since` and `until` give it, in nanoseconds since the epoch: `1700000000`,
 * `1700000000.123456789`, RFC 3339 (with or without zone, down to a date), or a Go duration back from now.
 * undefined for an absent or empty one. Throws HF_BAD_REQUEST.
 */
export function parseTimestamp(field: string, text: string | null, now = Date.now()): bigint | undefined {
  if (text === null || text === '' || text === '0') return undefined
  const unix = /^(-?\d{1,15})(?:\.(\d{1,9})\d*)?$/.exec(text)
  if (unix) {
    const [, seconds = '0', fraction = ''] = unix
    return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'))
  }
  const duration = parseGoDuration(text)
  if (duration !== undefined) return BigInt(now) * 1_000_000n - duration
  const nanos = parseTime(text)
  if (nanos === undefined) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid value for "${field}": "${text}"`, {
      hint: 'Give Unix seconds, an RFC 3339 time, or a duration such as 10m.',
      details: { field },
    })
  }
  return nanos
}

/** Whole seconds since the epoch of a record's time; 0 for ''. */
export function unixSeconds(time: string): number {
  const nanos = parseTime(time)
  return nanos === undefined ? 0 : Number(nanos / 1_000_000_000n)
}

/** Go's zero time, which Docker shows for "never". */
export const zeroTime = '0001-01-01T00:00:00Z'
