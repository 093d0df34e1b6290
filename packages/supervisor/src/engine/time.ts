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
export function formatTime(nanoseconds: bigint): string {
  const seconds = nanoseconds / 1_000_000_000n
  const fraction = nanoseconds % 1_000_000_000n
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${String(fraction).padStart(9, '0')}Z`
}

export function nowText(): string {
  return formatTime(nowNanoseconds())
}

/** Reads RFC 3339 with up to nine digits of fraction; undefined where it is nothing of the kind. */
export function parseTime(text: string): bigint | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (!match) return undefined
  const milliseconds = Date.parse(`${match[1]}${match[3]}`)
  if (Number.isNaN(milliseconds)) return undefined
  return BigInt(milliseconds) * 1_000_000n + BigInt((match[2] ?? '').padEnd(9, '0'))
}
