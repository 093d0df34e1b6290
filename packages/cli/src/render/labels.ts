/** `key=value`, as docker shows labels and attributes. */
export function labels(record: Record<string, string>): string[] {
  return Object.entries(record).map(([key, value]) => `${key}=${value}`)
}
