/** Reads JSON that somebody else wrote, field by field. HF_INVALID_CONFIG names the path of what is wrong. */
import { hasCode, HoldfastError } from '@holdfast/errors'

export function invalid(path: string, message: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_INVALID_CONFIG', `${path}: ${message}`, { hint, details: { path } })
}

/** An object's fields. As in Go's JSON, null is as good as absent, and what nobody asks for is passed over. */
export class Fields {
  readonly path: string
  readonly #values: Record<string, unknown>

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(path === '' ? 'configuration' : path, 'must be an object')
    }
    this.#values = value as Record<string, unknown>
    this.path = path
  }

  at(key: string): string {
    return this.path === '' ? key : `${this.path}.${key}`
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#values, key) && this.#values[key] !== null
  }

  raw(key: string): unknown {
    return this.has(key) ? this.#values[key] : undefined
  }

  /** Absent and empty alike: undefined. */
  text(key: string): string | undefined {
    const value = this.raw(key)
    if (value === undefined || value === '') return undefined
    if (typeof value !== 'string') throw invalid(this.at(key), 'must be a string')
    return value
  }

  flag(key: string, fallback = false): boolean {
    const value = this.raw(key)
    if (value === undefined) return fallback
    if (typeof value !== 'boolean') throw invalid(this.at(key), 'must be true or false')
    return value
  }

  integer(key: string, min: number, max: number): number | undefined {
    const value = this.raw(key)
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw invalid(this.at(key), `must be an integer from ${min} to ${max}`)
    }
    return value
  }

  choice<T extends string>(key: string, allowed: readonly T[], fallback: T): T {
    const value = this.text(key)
    if (value === undefined) return fallback
    if (!allowed.includes(value as T)) throw invalid(this.at(key), `must be one of ${allowed.join(', ')}`)
    return value as T
  }

  object(key: string): Fields | undefined {
    return this.has(key) ? new Fields(this.raw(key), this.at(key)) : undefined
  }

  /** Absent: an empty list. */
  list<T>(key: string, each: (value: unknown, path: string) => T): T[] {
    const value = this.raw(key)
    if (value === undefined) return []
    if (!Array.isArray(value)) throw invalid(this.at(key), 'must be a list')
    return value.map((entry, index) => each(entry, `${this.at(key)}[${index}]`))
  }

  texts(key: string): string[] {
    return this.list(key, (value, path) => {
      if (typeof value !== 'string') throw invalid(path, 'must be a string')
      return value
    })
  }
}

/** What a check of ours says about an argument becomes what it says about the configuration. */
export function inPath<T>(path: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (!hasCode(error, 'HF_BAD_REQUEST')) throw error
    const { message, hint } = error as HoldfastError
    throw invalid(path, message.replace(/^[^:]*: /, ''), hint)
  }
}
