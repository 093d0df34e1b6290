import { usageError } from '../command-line.ts'

const seconds: Record<string, number> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
}

/** A moment as the API wants it, seconds since the epoch: from RFC 3339, a number of seconds, or `42m` before now. */
export function instant(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text)) return text
  if (/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/.test(text)) {
    let age = 0
    for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g)) {
      age += Number(number) * (seconds[unit as string] as number)
    }
    return (Date.now() / 1000 - age).toFixed(9)
  }
  const milliseconds = Date.parse(text)
  if (Number.isNaN(milliseconds)) {
    throw usageError(`invalid time "${text}"`, 'For example 42m, 1767366245 or 2026-01-02T15:04:05Z.')
  }
  return (milliseconds / 1000).toFixed(3)
}
