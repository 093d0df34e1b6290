import { HoldfastError } from '@holdfast/errors'
import type { Route } from './route.ts'

export interface Match {
  route: Route
  params: Record<string, string>
}

/** Finds the route for a method and an unversioned path. Routes given first win. */
export class Router {
  /** By method and first segment, so that a request looks at a handful of patterns. */
  readonly #buckets = new Map<string, { route: Route; segments: string[] }[]>()

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const segments = route.path.slice(1).split('/')
      const key = `${route.method} ${segments[0]}`
      const bucket = this.#buckets.get(key)
      if (bucket) bucket.push({ route, segments })
      else this.#buckets.set(key, [{ route, segments }])
    }
  }

  find(method: string, path: string, api: number): Match | undefined {
    const segments = path.slice(1).split('/')
    const bucket = this.#buckets.get(`${method} ${segments[0]}`) ?? []
    for (const { route, segments: pattern } of bucket) {
      if (route.since !== undefined && api < route.since) continue
      const params = match(pattern, segments)
      if (params) return { route, params }
    }
    return undefined
  }
}

function match(pattern: string[], segments: string[]): Record<string, string> | undefined {
  const params: Record<string, string> = Object.create(null) as Record<string, string>
  let at = 0
  for (const [index, part] of pattern.entries()) {
    if (!part.startsWith('{')) {
      if (segments[at++] !== part) return undefined
      continue
    }
    const rest = part.endsWith('*}')
    // A greedy parameter leaves to the pattern's tail what the tail needs.
    const end = rest ? segments.length - (pattern.length - index - 1) : at + 1
    const value = segments.slice(at, end).join('/')
    if (end <= at || value === '') return undefined
    params[part.slice(1, rest ? -2 : -1)] = decode(value)
    at = end
  }
  return at === segments.length ? params : undefined
}

function decode(value: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(value)
  } catch (cause) {
    throw new HoldfastError('HF_BAD_REQUEST', `malformed percent-encoding in "${value}"`, { cause })
  }
  // A NUL would end the string early wherever it meets a system call.
  if (decoded.includes('\0')) throw new HoldfastError('HF_BAD_REQUEST', 'the path contains a NUL byte')
  return decoded
}

/** The path as Go's `path.Clean` has it, or undefined when it is clean already. */
export function cleanedPath(path: string): string | undefined {
  if (!path.includes('//') && !path.includes('/.')) return undefined
  if (!/\/\/|\/\.\.?(\/|$)/.test(path)) return undefined
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  return `/${kept.join('/')}${path.endsWith('/') && kept.length > 0 ? '/' : ''}`
}
