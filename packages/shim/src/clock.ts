import { formatTime } from '@holdfast/protocol'

const tolerance = 2_000_000n
let offset = 0n

/** The wall clock in RFC 3339 with nanoseconds: Date's milliseconds, made finer by the monotonic clock. */
export function nowRfc3339(): string {
  const wall = BigInt(Date.now()) * 1_000_000n
  const monotonic = process.hrtime.bigint()
  const fine = monotonic + offset
  if (fine >= wall && fine - wall < tolerance) return formatTime(fine)
  offset = wall - monotonic // the first call, or the wall clock was set
  return formatTime(wall)
}
