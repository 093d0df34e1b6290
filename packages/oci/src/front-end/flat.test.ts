import { expect, it } from 'vitest'
import { FlatWriter } from './flat.ts'

it('is laid out as native/flat.c reads it', () => {
  const flat = new FlatWriter().u32(1).u32(-1).i64(-1).text('é').texts(['a', ''])
  expect(flat.finish().toString('hex')).toBe(
    [
      '01000000',
      'ffffffff',
      'ffffffffffffffff',
      '02000000c3a900',
      '02000000',
      '010000006100',
      '0000000000',
    ].join(''),
  )
})
