import { describe, expect, it } from 'vitest'
import { TableWriter } from './launch-table.ts'

const header = { mode: 'launch' as const, report: 'report' }

describe('a table', () => {
  it('is laid out as launcher/table.h says', () => {
    const table = new TableWriter().step('hostname').text('box')
    expect(table.finish(header).toString('hex')).toBe(
      [
        '48465431',
        '55000000', // "HFT1", size
        '01000000',
        '00000000', // one step, launch
        '04000000',
        'ffffffff',
        'ffffffff', // report; no directory, nothing to be entrusted with
        '05000000',
        '00000000', // first slot; nothing kept
        '00000000',
        '00', // no record
        '00000000',
        '00000000',
        'ffffffff', // no procfs, no offsets, no cgroup
        '00000000',
        'ffffff7f',
        '00000000', // no memory is shared, oom_score_adj stays, no early steps
        '00000000', // it begins at once
        '05000000',
        '08000000', // hostname, payload size
        '03000000',
        '626f7800',
      ].join(''),
    )
    expect(table.descriptors).toEqual(['report'])
  })

  it('numbers descriptors in the order of their first use, and keeps them ascending', () => {
    const table = new TableWriter().step('stdio').fd('stdin').fd(undefined).fd('stdin')
    const bytes = table.finish({ ...header, directory: 'dir', keep: ['late', 'stdin'] })
    expect(table.descriptors).toEqual(['stdin', 'late', 'dir', 'report'])
    expect(table.numberOf('stdin')).toBe(4)
    expect(bytes.subarray(36, 48).toString('hex')).toBe('040000000500000006000000')
  })

  it('gives a step that is told of later as it would stand in the table', () => {
    const first = new TableWriter().step('umask').u32(0o22)
    const last = new TableWriter().step('hostname').text('box').stepBytes()
    const whole = new TableWriter().step('umask').u32(0o22).step('hostname').text('box').finish(header)
    const part = first.finish(header)
    expect(whole.subarray(part.length).toString('hex')).toBe(last.toString('hex'))
    expect(first.finish(header)).toEqual(part) // it can be used again
  })

  it('refuses text with a NUL, which C would cut, and numbers that C would wrap', () => {
    const table = new TableWriter().step('hostname')
    expect(() => table.text('a\0b')).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
    expect(() => table.u32(2 ** 32)).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
    expect(() => table.u32(-1)).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
    expect(() => table.u32(1.5)).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
  })

  it('grows with what is written', () => {
    const long = 'x'.repeat(100_000)
    expect(new TableWriter().step('hostname').text(long).finish(header).toString()).toContain(long)
  })
})
