import { HoldfastError } from '@holdfast/errors'
import { RE2JS, RE2JSException } from 're2js'

/** The `filters` of a list: name → accepted values. A filter that isn't given accepts everything. */
export class Filters {
  readonly #values: Map<string, string[]>
  /** By their text: a list asks for the same ones for each of its rows. */
  readonly #patterns = new Map<string, RE2JS | undefined>()

  /**
   * Reads both forms in use, `{"name":{"c1":true}}` and `{"label":["a=b"]}`. Throws HF_BAD_REQUEST for anything
   * else, and for a filter that isn't among `known`.
   */
  static parse(text: string | null, known: readonly string[]): Filters {
    if (text === null || text.trim() === '') return new Filters(new Map())
    let parsed: unknown
    try {
      parsed = JSON.parse(text)
    } catch (cause) {
      throw new HoldfastError('HF_BAD_REQUEST', `invalid filters: ${(cause as Error).message}`, { cause })
    }
    if (parsed === null) return new Filters(new Map())
    if (typeof parsed !== 'object' || Array.isArray(parsed)) {
      throw new HoldfastError('HF_BAD_REQUEST', 'invalid filters: expected an object')
    }
    const values = new Map<string, string[]>()
    for (const [name, accepted] of Object.entries(parsed)) {
      if (!known.includes(name)) throw new HoldfastError('HF_BAD_REQUEST', `invalid filter '${name}'`)
      values.set(name, acceptedValues(name, accepted))
    }
    return new Filters(values)
  }

  private constructor(values: Map<string, string[]>) {
    this.#values = values
  }

  has(name: string): boolean {
    return (this.#values.get(name) ?? []).length > 0
  }

  values(name: string): string[] {
    return this.#values.get(name) ?? []
  }

  /** Whether one of the filter's values satisfies `test`, or none was given. */
  some(name: string, test: (value: string) => boolean): boolean {
    const values = this.values(name)
    return values.length === 0 || values.some(test)
  }

  /**
   * Whether one of the filter's values, taken for a regular expression as Docker does, is found in one of the texts, or
   * none was given. What is malformed matches only itself.
   */
  matches(name: string, texts: string[]): boolean {
    return this.some(
      name,
      (value) =>
        texts.includes(value) || texts.some((text) => this.#pattern(value)?.matcher(text).find() === true),
    )
  }

  #pattern(value: string): RE2JS | undefined {
    if (!this.#patterns.has(value)) this.#patterns.set(value, compiled(value))
    return this.#patterns.get(value)
  }

  /** Whether all of `label=key` and `label=key=value` hold. */
  labels(name: string, labels: Record<string, string>): boolean {
    return this.values(name).every((wanted) => {
      const mark = wanted.indexOf('=')
      const key = mark < 0 ? wanted : wanted.slice(0, mark)
      if (!Object.hasOwn(labels, key)) return false
      return mark < 0 || labels[key] === wanted.slice(mark + 1)
    })
  }

  /** A filter of true and false; undefined when absent. Throws HF_BAD_REQUEST. */
  boolean(name: string): boolean | undefined {
    const values = this.values(name)
    if (values.length === 0) return undefined
    const [value = ''] = values
    if (values.length === 1 && ['1', 'true'].includes(value)) return true
    if (values.length === 1 && ['0', 'false'].includes(value)) return false
    throw new HoldfastError('HF_BAD_REQUEST', `invalid filter '${name}=[${values.join(' ')}]'`)
  }
}

/** In Go's syntax, and matched in linear time: at `(a+)+$` JavaScript's own engine would stand still, and all with it. */
function compiled(pattern: string): RE2JS | undefined {
  try {
    return RE2JS.compile(pattern)
  } catch (error) {
    if (error instanceof RE2JSException) return undefined
    throw error
  }
}

function acceptedValues(name: string, accepted: unknown): string[] {
  if (accepted === null) return [] // Go's empty set
  if (Array.isArray(accepted) && accepted.every((value) => typeof value === 'string')) return accepted
  if (typeof accepted === 'object' && accepted !== null && !Array.isArray(accepted)) {
    const entries = Object.entries(accepted)
    if (entries.every(([, on]) => typeof on === 'boolean'))
      return entries.flatMap(([value, on]) => (on ? [value] : []))
  }
  throw new HoldfastError('HF_BAD_REQUEST', `invalid filters: '${name}' must be a list or a set of strings`)
}

/**
 * Whether a shell pattern (`*`, `?`, `[a-z]`; `*` stops at `/`) matches the whole text, in time linear in their
 * product, however hostile the pattern.
 */
export function globMatches(pattern: string, text: string): boolean {
  let reached = new Set([0])
  for (const token of globTokens(pattern)) {
    const next = new Set<number>()
    for (const at of reached) {
      if (token.star) {
        let end = at
        next.add(end)
        while (end < text.length && text[end] !== '/') next.add(++end)
      } else if (at < text.length && token.accepts(text[at] as string)) {
        next.add(at + 1)
      }
    }
    reached = next
  }
  return reached.has(text.length)
}

type GlobToken = { star: true } | { star: false; accepts: (char: string) => boolean }

function* globTokens(pattern: string): Generator<GlobToken> {
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern[at] as string
    if (char === '*') {
      yield { star: true }
    } else if (char === '?') {
      yield { star: false, accepts: (other) => other !== '/' }
    } else if (char === '[' && pattern.indexOf(']', at + 2) > 0) {
      const end = pattern.indexOf(']', at + 2)
      yield { star: false, accepts: charClass(pattern.slice(at + 1, end)) }
      at = end
    } else {
      yield { star: false, accepts: (other) => other === char }
    }
  }
}

function charClass(body: string): (char: string) => boolean {
  const negated = body.startsWith('^')
  const ranges = [...(negated ? body.slice(1) : body).matchAll(/(.)-(.)|(.)/gs)]
  return (char) =>
    char !== '/' &&
    negated !==
      ranges.some(([, from, to, single]) =>
        single === undefined ? char >= (from as string) && char <= (to as string) : char === single,
      )
}
