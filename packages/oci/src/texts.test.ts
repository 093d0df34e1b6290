import { describe, expect, it } from 'vitest'
import { SyscallError } from '@holdfast/errors'
import { messageOf } from './front-end/error-text.ts'
import { durationMs } from './verbs/events.ts'
import { sizeOf } from './size.ts'

describe('sizes', () => {
  it.each([
    ['-1', -1],
    ['1024', 1024],
    ['1k', 1024],
    ['2M', 2 << 20],
    ['1.5gb', 1.5 * 2 ** 30],
    ['4KiB', 4096],
  ])('%s is %d bytes', (text, bytes) => expect(sizeOf(text)).toBe(bytes))

  it.each(['', 'M', '1x', '-5'])('%j is none', (text) => expect(() => sizeOf(text)).toThrow(/is no size/))
})

describe('durations', () => {
  it.each([
    ['5s', 5000],
    ['1m30s', 90_000],
    ['250ms', 250],
  ])('%s is %d ms', (text, ms) => expect(durationMs(text)).toBe(ms))

  it.each(['', '5', 's', '5s!'])('%j is none', (text) =>
    expect(() => durationMs(text)).toThrow(/invalid duration/),
  )
})

it('says in words what the kernel says in names', () => {
  const error = new SyscallError({
    errno: 13,
    code: 'EACCES',
    syscall: 'open',
    path: '/x',
    hint: 'Ask root.',
  })
  expect(messageOf(error)).toBe("open '/x': EACCES: permission denied (Ask root.)")
})
