import { HoldfastError } from '@holdfast/errors'
import type * as v from 'valibot'

type Schema = v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>

/** Of schemas for maps: what their values are. The keys of a map are data. */
const mapItems = new WeakMap<object, Schema>()

export function isMapOf(schema: object, item: Schema): void {
  mapItems.set(schema, item)
}

/**
 * Go's decoder takes `image` for `Image`, and so do Docker's clients: every field gets the name that the schema, or
 * `others`, has for it. Without this a field in another spelling would be dropped without a word. Throws HF_BAD_REQUEST
 * for a list where an object belongs.
 */
export function foldKeys(schema: Schema, body: unknown, others: readonly string[] = []): unknown {
  return fold(schema, body, { others, path: '' })
}

interface Where {
  others: readonly string[]
  /** JSON path, for the error. */
  path: string
}

function fold(schema: Schema, value: unknown, where: Where): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { entries, item, map } = shapeOf(schema)
  if (Array.isArray(value)) {
    if (entries) throw notAnObject(where.path)
    return item ? value.map((each, index) => fold(item, each, beneath(where, String(index)))) : value
  }
  if (!entries && !map) return value
  const names = entries && namesOf(entries, where.others)
  const result = Object.create(null) as Record<string, unknown>
  for (const [key, inner] of Object.entries(value)) {
    const name = names ? (names.get(key.toLowerCase()) ?? key) : key
    const child = map ?? (entries && Object.hasOwn(entries, name) ? entries[name] : undefined)
    result[name] = child ? fold(child, inner, beneath(where, name)) : inner
  }
  return result
}

function beneath({ others, path }: Where, name: string): Where {
  return { others, path: path === '' ? name : `${path}.${name}` }
}

interface Shape {
  entries?: Record<string, Schema>
  item?: Schema
  map?: Schema
}

/** Of a schema, or of what `optional`, `nullable` and `nullish` are wrapped around. */
function shapeOf(schema: Schema): Shape {
  const map = mapItems.get(schema)
  if (map) return { map }
  const { wrapped, entries, item } = schema as Shape & { wrapped?: Schema }
  if (wrapped) return shapeOf(wrapped)
  return { ...(entries && { entries }), ...(item && { item }) }
}

const knownNames = new WeakMap<object, Map<string, string>>()

function namesOf(entries: Record<string, Schema>, others: readonly string[]): Map<string, string> {
  const known = knownNames.get(entries)
  if (known) return known
  const names = new Map([...others, ...Object.keys(entries)].map((name) => [name.toLowerCase(), name]))
  knownNames.set(entries, names)
  return names
}

function notAnObject(path: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `invalid request: ${path}: expected an object`, {
    details: { field: path },
  })
}
