import { describe, expect, it } from 'vitest'
import { linearRegExp } from './linear-regexp.ts'

const texts = [
  '',
  'a',
  'b',
  'ab',
  'aab',
  'abc',
  '/web',
  '/web1',
  '/web_12',
  'my-db.1',
  'x\ny',
  'é',
  'aaaa',
  '-',
  ']',
]
const patterns = [
  'a', '^a$', 'a|b', '^/web$', '^/web[12]$', 'web(1|_12)', '^/(web|db)', 'a*b', 'a+b', 'ab?c', 'a{2}', '^a{2,3}$', '^a{5,}$',
  '(a|ab)(c|bc)', '[^a-c]', '[a-]', '[]]', '[^]]', '\\d+$', '\\w_\\w', '\\.', '^.$', '.*', '', '(?:a|b)b', 'a*?b', '^(a*)*$',
  'x.y', '(|a)b', '^$', 'a{0}b', '\\W', '\\s',
] // prettier-ignore

describe('linearRegExp', () => {
  it('agrees with the built-in engine', () => {
    for (const pattern of patterns) {
      const [ours, builtIn] = [
        linearRegExp(pattern),
        new RegExp(pattern.replace('[]]', '[\\]]').replace('[^]]', '[^\\]]'), 'u'),
      ]
      for (const text of texts) {
        expect([pattern, text, ours?.test(text)]).toEqual([pattern, text, builtIn.test(text)])
      }
    }
  })

  it.each([
    '[',
    '(',
    ')',
    'a)',
    '*',
    '+a',
    '\\',
    '[z-a]',
    '(?=a)',
    '\\bx',
    'a{3,1}',
    'a{9999}{9999}',
    '(){9999}{9999}',
    '('.repeat(5000),
  ])('does not take %s', (pattern) => expect(linearRegExp(pattern)).toBeUndefined())

  it('takes no longer for a pattern at which a backtracking engine stands still', () => {
    const text = `${'a'.repeat(200)}!`
    expect(linearRegExp('^(a+)+$')?.test(text)).toBe(false)
    expect(linearRegExp('^(a|a)*$')?.test(text)).toBe(false)
    expect(linearRegExp('^(.*)*(.*)*x$')?.test(text)).toBe(false)
  })
})
