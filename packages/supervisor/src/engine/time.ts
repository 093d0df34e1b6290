import { formatTime } from '@holdfast/protocol'

/** Nanoseconds since the epoch; strictly rising within this process, so that events keep their order. */
export function nowNanoseconds(): bigint {
  const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n
  // performance.now() doesn't follow the clock when somebody sets it; Date does, with less precision.
  const wall = BigInt(Date.now()) * 1_000_000n
  const drift = now > wall ? now - wall : wall - now
  const best = drift > 2_000_000n ? wall : now
  last = best > last ? best : last + 1n
  return last
}

let last = 0n

/** RFC 3339 with nanoseconds, in UTC. */
export function nowText(): string {
  return formatTime(nowNanoseconds())
}

/** RFC 3339, or down to a date alone, in nanoseconds since the epoch; without a zone it is UTC. Undefined for anything else. */
export function parseTime(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(
    text,
  )
  if (!match) return undefined
  const [, date = '', minutes = '00:00', seconds = '00', fraction = '', zone = 'Z'] = match
  const millis = Date.parse(`${date}T${minutes}:${seconds}${zone}`)
  return Number.isNaN(millis) ? undefined : BigInt(millis) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
}
