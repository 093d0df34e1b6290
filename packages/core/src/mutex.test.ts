import { expect, it } from 'vitest'
import { Mutex } from './mutex.ts'

it('lets work in one at a time, in the order of asking, also past work that failed', async () => {
  const mutex = new Mutex()
  const first = Promise.withResolvers<void>()
  const seen: string[] = []
  const results = [
    mutex.run(async () => {
      await first.promise
      seen.push('first')
    }),
    mutex.run(() => {
      seen.push('second')
      throw new Error('failed')
    }),
    mutex.run(() => seen.push('third')),
  ]
  const settled = Promise.allSettled(results)
  const idle = mutex.idle().then(() => seen.push('idle'))
  await Promise.resolve()
  expect(seen).toEqual([])
  first.resolve()
  expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  await idle
  expect(seen).toEqual(['first', 'second', 'third', 'idle'])
})
