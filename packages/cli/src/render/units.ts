/** `3.15MB`, decimal as docker prints sizes. */
export function humanSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${Number(value.toPrecision(3))}${units[unit]}`
}

const spans: [seconds: number, singular: string, plural: string][] = [
  [365 * 86_400, 'a year', 'years'],
  [30 * 86_400, 'a month', 'months'],
  [7 * 86_400, 'a week', 'weeks'],
  [86_400, 'a day', 'days'],
  [3600, 'About an hour', 'hours'],
  [60, 'About a minute', 'minutes'],
]

/** `3 minutes ago`, from seconds since the epoch. */
export function ago(seconds: number): string {
  const age = Math.max(0, Date.now() / 1000 - seconds)
  for (const [span, singular, plural] of spans) {
    if (age >= 2 * span) return `${Math.floor(age / span)} ${plural} ago`
    if (age >= span) return `${singular} ago`
  }
  return age < 1 ? 'Less than a second ago' : `${Math.floor(age)} second${age < 2 ? '' : 's'} ago`
}
