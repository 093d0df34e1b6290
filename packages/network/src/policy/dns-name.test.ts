import { describe, expect, it } from 'vitest'
import { formatAddress } from '../address.ts'
import { LearnedNames, matchesName, namePattern } from './dns-name.ts'

const pattern = (text: string) => namePattern(text)!

describe('a pattern', () => {
  it('of a name is that name, in any case, with or without a dot at its end', () => {
    expect(pattern('Example.ORG.')).toEqual({ name: 'example.org', wildcard: false })
    expect(matchesName(pattern('example.org'), 'example.org')).toBe(true)
    expect(matchesName(pattern('example.org'), 'www.example.org')).toBe(false)
  })

  it('with a star is everything below, however deep, and not the name itself', () => {
    const below = pattern('*.example.org')
    expect(matchesName(below, 'www.example.org')).toBe(true)
    expect(matchesName(below, 'a.b.example.org')).toBe(true)
    expect(matchesName(below, 'example.org')).toBe(false)
    expect(matchesName(below, 'badexample.org')).toBe(false)
  })

  it.each(['', '.', '*', '*.', 'a..b', '-a.org', 'a-.org', '*.*.org', '1.2.3', `${'a'.repeat(64)}.org`])(
    '%o is none',
    (text) => {
      expect(namePattern(text)).toBeUndefined()
    },
  )
})

describe('names that were learned', () => {
  const texts = (names: LearnedNames, text: string, now: number) =>
    names
      .addressesOf(pattern(text), now)
      .map(({ address, expires }) => `${formatAddress(address)} ${expires}`)

  it('stand for their addresses for twice the ttl, and are new again in the second half', () => {
    const names = new LearnedNames()
    expect(names.learn({ name: 'A.org', addresses: ['192.0.2.1', 'fd00::1'], ttl: 100 }, 0)).toBe('a.org')
    expect(texts(names, 'a.org', 1)).toEqual(['192.0.2.1 200000', 'fd00::1 200000'])
    expect(names.learn({ name: 'a.org', addresses: ['192.0.2.1'], ttl: 90 }, 10_000)).toBeUndefined()
    expect(names.learn({ name: 'a.org', addresses: ['192.0.2.1'], ttl: 100 }, 110_000)).toBe('a.org')
    expect(texts(names, 'a.org', 210_000)).toEqual(['192.0.2.1 310000'])
    expect(texts(names, 'a.org', 310_000)).toEqual([])
  })

  it('are found by a pattern that they fit', () => {
    const names = new LearnedNames()
    names.learn({ name: 'x.a.org', addresses: ['192.0.2.1'], ttl: 60 }, 0)
    names.learn({ name: 'y.a.org', addresses: ['192.0.2.2'], ttl: 60 }, 0)
    names.learn({ name: 'a.org', addresses: ['192.0.2.3'], ttl: 60 }, 0)
    expect(texts(names, '*.a.org', 0)).toEqual(['192.0.2.1 120000', '192.0.2.2 120000'])
  })

  it('have a shortest and a longest life, whatever the ttl', () => {
    const names = new LearnedNames()
    names.learn({ name: 'a.org', addresses: ['192.0.2.1'], ttl: 0 }, 0)
    names.learn({ name: 'b.org', addresses: ['192.0.2.2'], ttl: 2 ** 31 }, 0)
    expect(texts(names, 'a.org', 0)).toEqual(['192.0.2.1 60000'])
    expect(texts(names, 'b.org', 0)).toEqual(['192.0.2.2 172800000'])
  })

  it('leave out the addresses with which resolvers block a name', () => {
    const names = new LearnedNames()
    const addresses = ['0.0.0.0', '::', '127.0.0.1', '::1']
    expect(names.learn({ name: 'a.org', addresses, ttl: 60 }, 0)).toBeUndefined()
    expect(names.learn({ name: '*.org', addresses: ['192.0.2.1'], ttl: 60 }, 0)).toBeUndefined()
  })

  it('are bounded in number, the latest staying', () => {
    const names = new LearnedNames()
    for (let index = 0; index < 5_000; index++)
      names.learn({ name: `n${index}.a.org`, addresses: ['192.0.2.1'], ttl: 60 }, index)
    expect(names.addressesOf(pattern('*.a.org'), 5_000)).toHaveLength(4_096)
    expect(texts(names, 'n4999.a.org', 5_000)).toHaveLength(1)
    expect(texts(names, 'n0.a.org', 5_000)).toHaveLength(0)
    const many = Array.from({ length: 100 }, (_, index) => `192.0.2.${index}`)
    names.learn({ name: 'many.org', addresses: many, ttl: 60 }, 0)
    expect(texts(names, 'many.org', 0)).toHaveLength(64)
  })
})
