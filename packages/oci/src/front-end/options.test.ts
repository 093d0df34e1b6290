import { describe, expect, it } from 'vitest'
import { onlyId, parseOptions } from './options.ts'

const spec = {
  switches: ['detach', 'force'],
  values: ['bundle', 'pid-file'],
  lists: ['env'],
  aliases: { b: 'bundle', d: 'detach', e: 'env' },
}

describe('the options of a verb', () => {
  it('come with one dash or two, joined or apart, before or behind the id', () => {
    const parsed = parseOptions(['-b', '/b', 'id', '--pid-file=/p', '-detach'], spec)
    expect(parsed.value).toEqual({ bundle: '/b', 'pid-file': '/p' })
    expect([...parsed.on]).toEqual(['detach'])
    expect(onlyId('create', parsed)).toBe('id')
  })

  it('may be switched off again, and repeated where each counts', () => {
    const parsed = parseOptions(['-d', '--detach=false', '-e', 'A=1', '--env=B=2'], spec)
    expect(parsed.on.has('detach')).toBe(false)
    expect(parsed.list).toEqual({ env: ['A=1', 'B=2'] })
  })

  it('end at the first argument where a command line follows, and at --', () => {
    expect(parseOptions(['-d', 'id', 'sh', '-c', 'x'], { ...spec, stopsAtArgument: true }).args).toEqual([
      'id',
      'sh',
      '-c',
      'x',
    ])
    expect(parseOptions(['--', '-x'], spec).args).toEqual(['-x'])
  })

  it.each([[['--what', 'id']], [['id', '--bundle']]])(
    'are refused where unknown or without value: %j',
    (args) => {
      expect(() => parseOptions(args, spec)).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
    },
  )

  it('leave exactly one id', () => {
    for (const args of [[], ['a', 'b'], ['']])
      expect(() => onlyId('start', parseOptions(args, spec))).toThrow(/exactly 1 argument/)
  })
})
