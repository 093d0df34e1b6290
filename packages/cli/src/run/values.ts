import { usageError } from '../command-line.ts'

const units: Record<string, number> = { '': 1, b: 1, k: 1 << 10, m: 1 << 20, g: 1 << 30, t: 2 ** 40 }

/** `64m`, `1.5g`, `1073741824`; 0 where it isn't given. */
export function bytes(value: string | undefined, flag: string): number {
  if (value === undefined) return 0
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(value) ?? []
  if (number === undefined)
    throw usageError(`invalid size "${value}" for --${flag}`, 'For example 64m or 1.5g.')
  return Math.floor(Number(number) * (units[(unit ?? '').toLowerCase()] ?? 1))
}

export function keyValues(entries: string[], flag: string): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.indexOf('=')
      if (equals <= 0) throw usageError(`invalid value "${entry}" for --${flag}: KEY=VALUE is expected`)
      return [entry.slice(0, equals), entry.slice(equals + 1)]
    }),
  )
}

/** `1.5` CPUs in billionths. */
export function nanoCpus(value: string | undefined): number {
  if (value === undefined) return 0
  if (!/^\d+(\.\d+)?$/.test(value)) throw usageError(`invalid number of CPUs "${value}" for --cpus`)
  return Math.round(Number(value) * 1e9)
}

/** `nofile=1024:2048`; -1 is unlimited. */
export function ulimit(entry: string): { Name: string; Soft: number; Hard: number } {
  const [, name, soft, hard] = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(entry) ?? []
  if (name === undefined) throw usageError(`invalid ulimit "${entry}"`, 'For example nofile=1024:2048.')
  return { Name: name, Soft: Number(soft), Hard: Number(hard ?? soft) }
}

/** `monotonic=86400`, in whole seconds; the two clocks that time_namespaces(7) can shift. */
export function timeOffsets(entries: string[]): Record<string, number> {
  return Object.fromEntries(
    entries.map((entry) => {
      const [, clock, seconds] = /^(monotonic|boottime)=(-?\d{1,15})$/.exec(entry) ?? []
      if (clock === undefined) {
        throw usageError(
          `invalid time offset "${entry}"`,
          'For example boottime=86400 or monotonic=-60, in seconds.',
        )
      }
      return [clock, Number(seconds)]
    }),
  )
}
