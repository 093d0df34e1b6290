/**
 * Readers: `unknown` in, a typed value out, or HF_INVALID_CONFIG with the JSON path of the bad field. Written by hand
 * because this is on the shim's way to a running container: nothing to load, and a path that reads as people write it.
 */
import { HoldfastError } from '@holdfast/errors'

export type Reader<T> = (value: unknown, path: string) => T

/**
 * In place of a path: none is kept. The paths of a configuration's five hundred strings cost more than reading them,
 * and only a refusal needs one: then it is read again, with paths.
 */
export const untracked = '\0'

function inside(path: string, name: string): string {
  if (path === untracked) return untracked
  return path === '' ? name : `${path}.${name}`
}

interface Optional<T> {
  optional: Reader<T>
}

type Shape = Record<string, Reader<unknown> | Optional<unknown>>

type Read<S extends Shape> = {
  [K in keyof S as S[K] extends Reader<unknown> ? K : never]: S[K] extends Reader<infer T> ? T : never
} & {
  [K in keyof S as S[K] extends Reader<unknown> ? never : K]?: S[K] extends Optional<infer T> ? T : never
}

/** Flattened, so that an editor shows the fields rather than the machinery. */
export type StructOf<S extends Shape> = { [K in keyof Read<S>]: Read<S>[K] } & {}

/** What a reader yields. */
export type Infer<R> = R extends Reader<infer T> ? T : never

/** int64 and uint64 of the specification: a bigint where a double would round. */
export type Integer = number | bigint

export const invalid = (path: string, problem: string, hint?: string): HoldfastError =>
  new HoldfastError('HF_INVALID_CONFIG', `${path === '' ? 'the configuration' : path} ${problem}`, {
    hint,
    details: { path },
  })

/** An object with these fields; others are ignored, as the specification asks. null stands for an absent field. */
export function struct<S extends Shape>(shape: S): Reader<StructOf<S>> {
  const fields = Object.entries(shape).map(([name, reader]) =>
    typeof reader === 'function'
      ? { name, read: reader, required: true }
      : { name, read: reader.optional, required: false },
  )
  return (value, path) => {
    const object = record(value, path)
    const result: Record<string, unknown> = {}
    for (const { name, read, required } of fields) {
      const field = Object.hasOwn(object, name) ? object[name] : undefined
      const fieldPath = inside(path, name)
      if (field !== undefined && field !== null) result[name] = read(field, fieldPath)
      else if (required) throw invalid(fieldPath, 'is missing')
    }
    return result as StructOf<S>
  }
}

export const optional = <T>(reader: Reader<T>): Optional<T> => ({ optional: reader })

export function list<T>(item: Reader<T>): Reader<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw invalid(path, `must be a list, not ${show(value)}`)
    return value.map((each, index) => item(each, path === untracked ? path : `${path}[${index}]`))
  }
}

export function map<T>(item: Reader<T>): Reader<Record<string, T>> {
  return (value, path) => {
    const entries = Object.entries(record(value, path))
    return Object.fromEntries(entries.map(([key, each]) => [key, item(each, inside(path, key))]))
  }
}

export function record(value: unknown, path: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw invalid(path, `must be an object, not ${show(value)}`)
}

export const boolean: Reader<boolean> = (value, path) => {
  if (typeof value === 'boolean') return value
  throw invalid(path, `must be true or false, not ${show(value)}`)
}

/** Text for the kernel: a NUL would cut it short without a word. */
export const string: Reader<string> = (value, path) => {
  if (typeof value !== 'string') throw invalid(path, `must be a string, not ${show(value)}`)
  if (value.includes('\0')) throw invalid(path, 'must not contain a NUL character')
  return value
}

export const nonEmpty: Reader<string> = (value, path) => {
  const text = string(value, path)
  if (text === '') throw invalid(path, 'must not be empty')
  return text
}

export const absolutePath: Reader<string> = (value, path) => {
  const text = string(value, path)
  if (!text.startsWith('/')) throw invalid(path, `must be an absolute path, not ${show(text)}`)
  return text
}

export function oneOf<const T extends string>(...values: T[]): Reader<T> {
  const known = new Set<string>(values)
  return (value, path) => {
    if (typeof value === 'string' && known.has(value)) return value as T
    throw invalid(path, `must be one of ${values.join(', ')}, not ${show(value)}`)
  }
}

/** An integer that a double holds. */
export function integer(min: number, max: number): Reader<number> {
  return (value, path) => {
    const number = typeof value === 'bigint' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number))
      throw invalid(path, `must be an integer, not ${show(value)}`)
    if (number < min || number > max) throw invalid(path, `must be from ${min} to ${max}, not ${show(value)}`)
    return number
  }
}

export const uint16 = integer(0, 0xffff)
export const uint32 = integer(0, 0xffff_ffff)
export const int32 = integer(-0x8000_0000, 0x7fff_ffff)
/** A user or group id: the kernel keeps 2^32-1 for "none", and above 2^31-1 tools see negative numbers. */
export const id = integer(0, 0x7fff_ffff)

export const int64 = wide(-(2n ** 63n), 2n ** 63n - 1n)
export const uint64 = wide(0n, 2n ** 64n - 1n)

/**
 * JSON.parse rounds 18446744073709551615 (RLIM_INFINITY) up to 2^64, and the largest int64 up to 2^63; JSON.stringify
 * then writes 18446744073709552000. Whatever a double can't tell from the limit means the limit itself. Other numbers
 * `parseConfigJson` hands over as bigints, with nothing lost.
 */
function wide(min: bigint, max: bigint): Reader<Integer> {
  return (value, path) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && (value >= 0 || min < 0n)) return value
    if (typeof value !== 'bigint' && (typeof value !== 'number' || !Number.isInteger(value)))
      throw invalid(path, `must be an integer, not ${show(value)}`)
    const exact = BigInt(value)
    if (exact > max && Number(value) === Number(max)) return max
    if (exact < min || exact > max) throw invalid(path, `must be from ${min} to ${max}, not ${show(value)}`)
    return exact
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'an object'
  return String(value)
}
