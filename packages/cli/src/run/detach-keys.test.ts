import { describe, expect, it } from 'vitest'

import { DetachKeys } from './detach-keys.ts'

const typed = (keys: DetachKeys, text: string) => {
  const { data, detach } = keys.take(Buffer.from(text, 'latin1'))
  return [data.toString('latin1'), detach]
}

describe('DetachKeys', () => {
  it('detaches on the whole sequence, and passes on what came before it', () => {
    expect(typed(new DetachKeys('ctrl-p,ctrl-q'), 'ab\x10\x11cd')).toEqual(['ab', true])
  })
  it('finds a sequence that arrives in two chunks', () => {
    const keys = new DetachKeys('ctrl-p,ctrl-q')
    expect(typed(keys, '\x10')).toEqual(['', false])
    expect(typed(keys, '\x11')).toEqual(['', true])
  })
  it('passes a broken-off sequence on', () => {
    const keys = new DetachKeys('ctrl-p,ctrl-q')
    expect(typed(keys, '\x10')).toEqual(['', false])
    expect(typed(keys, 'x')).toEqual(['\x10x', false])
    expect(typed(keys, '\x10\x10\x11')).toEqual(['\x10', true])
  })
  it('never detaches with no keys, and refuses unknown ones', () => {
    expect(typed(new DetachKeys(''), '\x10\x11')).toEqual(['\x10\x11', false])
    expect(() => new DetachKeys('alt-x')).toThrow('unknown key "alt-x"')
  })
})
