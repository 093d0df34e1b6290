import { HoldfastError } from '@holdfast/errors'

/** A flag as dockerd reads it: absent, '', 0, no, false and none are false, anything else is true. */
export function flag(query: URLSearchParams, name: string, fallback = false): boolean {
  const value = query.get(name)
  if (value === null) return fallback
  return !['', '0', 'no', 'false', 'none'].includes(value.trim().toLowerCase())
}

/** A whole number; undefined when absent or empty. Throws HF_BAD_REQUEST. */
export function integer(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name)
  if (value === null || value === '') return undefined
  const number = Number(value)
  if (!/^[+-]?\d+$/.test(value) || !Number.isSafeInteger(number)) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid value for "${name}": "${value}" is not a whole number`,
      {
        details: { field: name },
      },
    )
  }
  return number
}

/** Width and height of a terminal. Throws HF_BAD_REQUEST. */
export function terminalSize(query: URLSearchParams): { rows: number; columns: number } {
  const size = { rows: integer(query, 'h'), columns: integer(query, 'w') }
  for (const [name, value] of Object.entries(size)) {
    if (value === undefined || value < 0 || value > 65_535) {
      throw new HoldfastError('HF_BAD_REQUEST', `invalid terminal size: ${name} must be 0 to 65535`)
    }
  }
  return size as { rows: number; columns: number }
}

/** Throws HF_BAD_REQUEST for a NUL, which would cut the string short in a system call. */
export function text(query: URLSearchParams, name: string): string {
  const value = query.get(name) ?? ''
  if (value.includes('\0')) {
    throw new HoldfastError('HF_BAD_REQUEST', `"${name}" contains a NUL byte`, { details: { field: name } })
  }
  return value
}
