import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IdRanges, parseSubordinateIds, type IdRange } from './id-ranges.ts'

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'hf-ids-'))))
afterEach(() => rmSync(directory, { recursive: true }))

const base = 0x7000_0000
const step = 65_536

function open(name: string, reserved: IdRange[] = [], from = base): IdRanges {
  const owner = join(directory, `${name}.db`)
  writeFileSync(owner, '')
  return new IdRanges({ file: join(directory, 'ranges'), base: from, owner, reserved: () => reserved })
}

describe('id ranges', () => {
  it('are never given to two containers, whatever instance they are of', () => {
    const [one, two] = [open('one'), open('two')]
    expect(one.allocate('a')).toEqual({ start: base, size: step })
    expect(two.allocate('b')).toEqual({ start: base + step, size: step })
    expect(one.allocate('c', 2 * step)).toEqual({ start: base + 2 * step, size: 2 * step })
    expect(two.allocate('d').start).toBe(base + 4 * step)
  })

  it('are not reused at once', () => {
    const ranges = open('one')
    ranges.allocate('a')
    ranges.release('a')
    expect(ranges.allocate('b').start).toBe(base + step)
  })

  it('keep off what the shadow tools gave away', () => {
    expect(open('one', [{ start: base - 10, size: 20 }]).allocate('a').start).toBe(base + step)
    expect(parseSubordinateIds('me:100000:65536\nbad\n')).toEqual([{ start: 100_000, size: 65_536 }])
  })

  it('run out with an error, and go round to what was given back', () => {
    const ranges = open('one', [], 0x8000_0000 - 2 * step)
    ranges.allocate('a')
    ranges.allocate('b')
    expect(() => ranges.allocate('c')).toThrow('no free range of 65536 user ids is left')
    ranges.release('a')
    expect(ranges.allocate('c').start).toBe(0x8000_0000 - 2 * step)
  })

  it('of an instance that is gone are free again', () => {
    const gone = open('gone', [], 0x8000_0000 - step)
    gone.allocate('a')
    rmSync(join(directory, 'gone.db'))
    expect(open('two', [], 0x8000_0000 - step).allocate('b').start).toBe(0x8000_0000 - step)
  })

  it('are put in order after a restart', () => {
    const ranges = open('one')
    ranges.allocate('dead')
    ranges.restore(new Map([['alive', { start: base + step, size: step }]]))
    expect(ranges.allocate('x').start).toBe(base + 2 * step)
    expect(open('two').allocate('y').start).toBe(base + 3 * step)
  })

  it('pass to whoever lives in the same user namespace', () => {
    const ranges = open('one')
    ranges.allocate('a')
    ranges.transfer('a', 'b')
    ranges.release('a')
    ranges.restore(new Map([['b', { start: base, size: step }]]))
    expect(ranges.allocate('c').start).toBe(base + step)
  })
})
