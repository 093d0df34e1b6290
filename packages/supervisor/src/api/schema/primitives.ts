import { HoldfastError } from '@holdfast/errors'
import * as v from 'valibot'
import { foldKeys, isMapOf } from './fold-keys.ts'

/**
 * The building blocks of request schemas. As in Go, from which Docker's clients take their habits, null stands for
 * the zero value of every type. Objects come out fresh: maps without a prototype, records with the known keys only.
 */

const string = v.pipe(
  v.string('expected a string'),
  v.check((value) => !value.includes('\0'), 'contains a NUL byte'),
)
const int64 = v.pipe(
  v.number('expected a number'),
  v.check((value) => Number.isSafeInteger(value), 'expected a whole number between -2^53 and 2^53'),
)

export const text = v.nullish(string, '')
export const flag = v.nullish(v.boolean('expected true or false'), false)
export const integer = v.nullish(int64, 0)
export const textList = v.nullish(v.array(string, 'expected a list'), () => [])
export const anything = v.optional(v.unknown())

export const optionalText = v.optional(v.nullable(string))
export const nullableInteger = v.nullish(int64, null)
export const nullableFlag = v.nullish(v.boolean('expected true or false'), null)
export const nullableList = v.nullish(v.array(string, 'expected a list'), null)

/** A list, or one string that stands for a list of one: Go's `strslice`. */
const oneOrList = v.union(
  [
    v.pipe(
      string,
      v.transform((value) => [value]),
    ),
    v.array(string),
  ],
  'expected a list of strings',
)

export const command = v.nullish(oneOrList, null)
export const oneOrMore = v.nullish(oneOrList, () => [])

/** An object whose fields all have defaults: null and nothing count as an empty one. */
export function withDefault<T extends v.GenericSchema>(
  schema: T,
): v.GenericSchema<unknown, v.InferOutput<T>> {
  return v.nullish(schema, () => ({}) as never) as never
}

/** A map; null counts as an empty one. Any key is data, `__proto__` and `constructor` too. */
export function mapOf<T extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>>(
  item: T,
): v.GenericSchema<unknown, Record<string, v.InferOutput<T>>> {
  const schema = v.pipe(
    v.custom<Record<string, unknown>>(isPlainObject, 'expected an object'),
    v.rawTransform<Record<string, unknown>, Record<string, v.InferOutput<T>>>(({ dataset, addIssue }) => {
      const result = Object.create(null) as Record<string, v.InferOutput<T>>
      for (const key of Object.keys(dataset.value)) {
        if (key.includes('\0')) addIssue({ message: 'a key contains a NUL byte' })
        const parsed = v.safeParse(item, dataset.value[key])
        if (parsed.success) result[key] = parsed.output
        else addIssue({ message: `${key}: ${issueText(parsed.issues[0])}` })
      }
      return result
    }),
  )
  const whole = v.nullish(schema, () => Object.create(null) as Record<string, v.InferOutput<T>>)
  isMapOf(whole, item)
  return whole as never
}

export const textMap = mapOf(text)

/** The keys matter, the values are empty objects: Docker's way to write a set. */
export const keySet = mapOf(
  v.pipe(
    v.unknown(),
    v.transform((): Record<string, never> => ({})),
  ),
)

function isPlainObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Folds, parses and freezes. Throws HF_BAD_REQUEST that names the field by its JSON path. */
export function parseBody<T extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>>(
  schema: T,
  body: unknown,
): v.InferOutput<T> {
  return parseFolded(schema, foldBody(schema, body))
}

/** `others`: names of fields that the schema doesn't have. Throws HF_BAD_REQUEST for what is no object. */
export function foldBody(
  schema: v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>,
  body: unknown,
  others: readonly string[] = [],
): Record<string, unknown> {
  if (!isPlainObject(body)) throw new HoldfastError('HF_BAD_REQUEST', 'the body must be a JSON object')
  return foldKeys(schema, body, others) as Record<string, unknown>
}

export function parseFolded<T extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>>>(
  schema: T,
  body: unknown,
): v.InferOutput<T> {
  const parsed = v.safeParse(schema, body, { abortEarly: true })
  if (parsed.success) return deepFreeze(parsed.output)
  const [issue] = parsed.issues
  throw new HoldfastError('HF_BAD_REQUEST', `invalid request: ${issueText(issue)}`, {
    details: { field: issue.path ? v.getDotPath(issue) : null },
  })
}

function issueText(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue)
  return path === null ? issue.message : `${path}: ${issue.message}`
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const item of Object.values(value)) deepFreeze(item)
  }
  return value
}
