import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Turns } from './turns.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

interface Work {
  resolve(value: string): void
  reject(error: Error): void
  done: Promise<string>
}

/** Begins works that end when they are told to; `begun` has the names of those whose turn it was. */
function works(turns: Turns): { begun: string[]; begin: (name: string) => Work } {
  const begun: string[] = []
  const begin = (name: string): Work => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    return { resolve, reject, done: turns.run(() => (begun.push(name), promise)) }
  }
  return { begun, begin }
}

it('lets so many at a time, in the order of their coming', async () => {
  const { begun, begin } = works(new Turns(2))
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(begin) as Work[]
  await settle()
  expect(begun).toEqual(['a', 'b'])
  b!.resolve('of b')
  expect(await b!.done).toBe('of b')
  await settle()
  expect(begun).toEqual(['a', 'b', 'c'])
  for (const work of [a, c, d]) work!.resolve('')
  await Promise.all([a!.done, c!.done, d!.done])
  expect(begun).toEqual(['a', 'b', 'c', 'd'])
})

it('gives the turn of work that failed to the next', async () => {
  const { begun, begin } = works(new Turns(1))
  const [a, b] = [begin('a'), begin('b')]
  a.reject(new Error('no'))
  await expect(a.done).rejects.toThrow('no')
  await settle()
  expect(begun).toEqual(['a', 'b'])
  b.resolve('')
  await b.done
})

it('does not count what hangs, nor gives its turn away twice', async () => {
  const { begun, begin } = works(new Turns(1))
  const [a, b, c] = ['a', 'b', 'c'].map(begin) as Work[]
  await vi.advanceTimersByTimeAsync(499)
  expect(begun).toEqual(['a'])
  await vi.advanceTimersByTimeAsync(1)
  expect(begun).toEqual(['a', 'b'])
  a!.resolve('')
  await a!.done
  await settle()
  expect(begun).toEqual(['a', 'b']) // b has the only turn
  b!.resolve('')
  await b!.done
  await settle()
  expect(begun).toEqual(['a', 'b', 'c'])
  c!.resolve('')
  await c!.done
})
