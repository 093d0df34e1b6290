import { describe, expect, it } from 'vitest'
import { Filters, globMatches } from './filters.ts'

describe('Filters', () => {
  it("reads the CLI's form and dockerode's", () => {
    expect(Filters.parse('{"name":{"c1":true,"c2":false}}', ['name']).values('name')).toEqual(['c1'])
    expect(Filters.parse('{"name":["c1"]}', ['name']).values('name')).toEqual(['c1'])
    expect(Filters.parse('', []).has('name')).toBe(false)
    expect(Filters.parse('null', []).has('name')).toBe(false)
    expect(Filters.parse('{"name":null}', ['name']).has('name')).toBe(false)
  })

  it.each(['{', '[]', '{"nosuch":["x"]}', '{"name":"c1"}', '{"name":[1]}', '{"name":{"a":"true"}}'])(
    'refuses %s',
    (text) => {
      expect(() => Filters.parse(text, ['name'])).toThrow('invalid filter')
    },
  )

  it('finds a regular expression, or itself, in a name', () => {
    const finds = (value: string) =>
      Filters.parse(JSON.stringify({ name: [value] }), ['name']).matches('name', ['/web[1', 'web[1'])
    for (const value of ['web', '^/web', '^web', '(web|db)', 'web[1', '\\[1$', 'e.'])
      expect(finds(value)).toBe(true)
    for (const value of ['^db', 'web$', '[2', 'WEB']) expect(finds(value)).toBe(false)
    for (const value of ['(?i)WEB', '\\bweb']) expect(finds(value)).toBe(true) // as Go has them
  })

  it.each(['(', '*', '(?=a)', 'a{3,1}', 'a{999}{999}', '('.repeat(5000)])('takes %s for a name', (value) =>
    expect(Filters.parse(JSON.stringify({ name: [value] }), ['name']).matches('name', ['a'])).toBe(false),
  )

  it.each(['^(a+)+$', '^(a|a)*$', '^(.*)*(.*)*x$'])('is not slowed down by %s', (value) => {
    const filters = Filters.parse(JSON.stringify({ name: [value] }), ['name'])
    const started = performance.now()
    expect(filters.matches('name', [`${'a'.repeat(200)}!`])).toBe(false)
    expect(performance.now() - started).toBeLessThan(500)
  })

  it('wants every label given, with its value where one is given', () => {
    const labels = { a: 'b', empty: '' }
    const matches = (list: string[]) =>
      Filters.parse(JSON.stringify({ label: list }), ['label']).labels('label', labels)
    expect(matches(['a', 'a=b', 'empty='])).toBe(true)
    expect(matches(['a=c'])).toBe(false)
    expect(matches(['toString'])).toBe(false)
  })
})

describe('globMatches', () => {
  it.each([
    ['busy*', 'busybox', true],
    ['*', 'a/b', false],
    ['*/b', 'a/b', true],
    ['b?sy', 'busy', true],
    ['[a-c]x', 'bx', true],
    ['[^a-c]x', 'bx', false],
    ['busy', 'busybox', false],
  ])('%s against %s: %s', (pattern, text, expected) => expect(globMatches(pattern, text)).toBe(expected))

  it('is not slowed down by a hostile pattern', () => {
    const started = performance.now()
    expect(globMatches('*a'.repeat(40), 'a'.repeat(60) + 'b')).toBe(false)
    expect(performance.now() - started).toBeLessThan(500)
  })
})
