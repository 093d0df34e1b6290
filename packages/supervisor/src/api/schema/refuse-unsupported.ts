import { HoldfastError } from '@holdfast/errors'

/** Fields that Docker knows and this engine can't honour yet, each with what makes its value harmless. */
export type Unsupported = Record<string, (value: unknown) => boolean>

/** null, false, 0, '', [] and {}: what Go clients send for a field that nobody set. */
export function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true
  if (typeof value !== 'object') return false
  return (Array.isArray(value) ? value : Object.keys(value)).length === 0
}

export function oneOf(...values: unknown[]): (value: unknown) => boolean {
  return (value) => isZero(value) || values.includes(value)
}

/** Throws HF_UNSUPPORTED naming the first field of `body` that asks for what can't be done. Drops nothing silently. */
export function refuseUnsupported(prefix: string, body: unknown, fields: Unsupported): void {
  if (typeof body !== 'object' || body === null) return
  const given = body as Record<string, unknown>
  for (const [name, isHarmless] of Object.entries(fields)) {
    if (Object.hasOwn(given, name) && !isHarmless(given[name])) throw unsupported(prefix + name)
  }
}

export function unsupported(field: string, detail = 'is not supported'): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `${field} ${detail}`, {
    hint: 'Leave it out; nothing was changed.',
    details: { field },
  })
}
