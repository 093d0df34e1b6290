import { describe, expect, it } from 'vitest'
import type { Route } from './route.ts'
import { cleanedPath, Router } from './router.ts'

const handle = () => {}
const routes: Route[] = [
  { method: 'GET', path: '/images/json', handle },
  { method: 'GET', path: '/images/{name*}/json', handle },
  { method: 'DELETE', path: '/images/{name*}', handle },
  { method: 'GET', path: '/containers/{id}/json', handle },
  { method: 'GET', path: '/system/df', since: 25, handle },
]
const router = new Router(routes)
const find = (method: string, path: string, api = 51) => {
  const match = router.find(method, path, api)
  return match && { path: match.route.path, ...match.params }
}

describe('Router', () => {
  it('lets image names have slashes', () => {
    expect(find('GET', '/images/json')).toEqual({ path: '/images/json' })
    expect(find('GET', '/images/localhost:5000/a/b:1/json')).toMatchObject({ name: 'localhost:5000/a/b:1' })
    expect(find('DELETE', '/images/a/json')).toMatchObject({ name: 'a/json' })
  })

  it('matches whole segments, the method, and the version', () => {
    expect(find('GET', '/containers/x/json')).toMatchObject({ id: 'x' })
    expect(find('GET', '/containers/x/y/json')).toBeUndefined()
    expect(find('GET', '/containers//json')).toBeUndefined()
    expect(find('POST', '/containers/x/json')).toBeUndefined()
    expect(find('GET', '/system/df', 24)).toBeUndefined()
  })

  it('decodes parameters, and refuses broken ones and NUL', () => {
    expect(find('GET', '/containers/a%2Fb/json')).toMatchObject({ id: 'a/b' })
    expect(() => find('GET', '/containers/%zz/json')).toThrow('malformed percent-encoding')
    expect(() => find('GET', '/containers/a%00/json')).toThrow('NUL')
  })
})

describe('cleanedPath', () => {
  it.each([
    ['/a/b', undefined],
    ['/a//b', '/a/b'],
    ['/a/./b/../c', '/a/c'],
    ['/..', '/'],
    ['/a/b.../c', undefined],
  ])('%s → %s', (path, cleaned) => expect(cleanedPath(path)).toBe(cleaned))
})
