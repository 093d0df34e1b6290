import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { addon } from './native.ts'

const facades = readdirSync(import.meta.dirname).filter(
  (name) => name.endsWith('.ts') && !name.includes('.test.'),
)

/** The names in a facade's `addon as { … }`. */
function declared(file: string): string[] {
  const source = readFileSync(join(import.meta.dirname, file), 'utf8')
  const body = /addon as \{([^]*?)\n?\}\n/.exec(source)?.[1] ?? ''
  return [...body.matchAll(/(?:^|[\n;{])\s*(\w+)\(/g)].map((match) => match[1]!)
}

describe('the addon', () => {
  it('has every function that a facade declares, and no other', () => {
    const names = facades.flatMap(declared)
    expect(names.length).toBeGreaterThan(60)
    expect(Object.keys(addon as object).sort()).toEqual([...new Set(names)].sort())
  })

  it('has a facade of the same name for every facility', () => {
    const facilities = readdirSync(join(import.meta.dirname, '../native'))
      .filter((name) => name.endsWith('.cc') && name !== 'addon.cc')
      .map((name) => name.replace('.cc', '.ts'))
    expect(facades).toEqual(expect.arrayContaining(facilities))
  })
})
