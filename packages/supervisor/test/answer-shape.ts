/** Where two JSON answers differ in keys and types; values may differ. One line each, by path. */
export function shapeDifferences(docker: unknown, ours: unknown, path = ''): string[] {
  const [expected, actual] = [typeName(docker), typeName(ours)]
  if (expected !== actual) {
    // Go writes null for a list or map that nobody filled; clients take both for empty.
    const emptyPair = [docker, ours].every((value) => value === null || isEmpty(value))
    return emptyPair ? [] : [`${path}: docker has ${expected}, we ${actual}`]
  }
  if (expected === 'list') {
    const [first, second] = [(docker as unknown[])[0], (ours as unknown[])[0]]
    return first === undefined || second === undefined ? [] : shapeDifferences(first, second, `${path}[]`)
  }
  if (expected !== 'object') return []
  const [left, right] = [docker as Record<string, unknown>, ours as Record<string, unknown>]
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].sort().flatMap((key) => {
    const at = `${path}.${key}`
    if (!Object.hasOwn(right, key)) return [`${at}: missing`]
    if (!Object.hasOwn(left, key)) return [`${at}: not Docker's`]
    return shapeDifferences(left[key], right[key], at)
  })
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'list' : typeof value
}
