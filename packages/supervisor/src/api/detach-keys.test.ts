import { describe, expect, it } from 'vitest'
import { DetachScanner, parseDetachKeys } from './detach-keys.ts'

function scan(keys: string, ...chunks: string[]): string[] {
  const scanner = new DetachScanner(parseDetachKeys(keys))
  return chunks.map((chunk) => {
    const { pass, detached } = scanner.scan(Buffer.from(chunk, 'latin1'))
    return pass.toString('latin1') + (detached ? ' DETACHED' : '')
  })
}

describe('detach keys', () => {
  it('are ctrl-p,ctrl-q unless told', () => {
    expect(parseDetachKeys('')).toEqual(Buffer.from([0x10, 0x11]))
    expect(parseDetachKeys('a,ctrl-[,ctrl-_')).toEqual(Buffer.from([0x61, 0x1b, 0x1f]))
    expect(() => parseDetachKeys('ctrl-1')).toThrow('invalid detach keys')
  })

  it('are found in one chunk or spread over several', () => {
    expect(scan('', 'abc\x10\x11rest')).toEqual(['abc DETACHED'])
    expect(scan('', 'a\x10', '\x11')).toEqual(['a', ' DETACHED'])
  })

  it('are passed on when the sequence breaks off, and a repeated first key starts anew', () => {
    expect(scan('', 'a\x10', 'b')).toEqual(['a', '\x10b'])
    expect(scan('', '\x10\x10\x11')).toEqual(['\x10 DETACHED'])
  })
})
