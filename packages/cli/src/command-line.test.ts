import { describe, expect, it } from 'vitest'

import { parseCommandLine, type Flag } from './command-line.ts'

const flags: Flag[] = [
  { name: 'rm', kind: 'boolean', help: '' },
  { name: 'interactive', short: 'i', kind: 'boolean', help: '' },
  { name: 'tty', short: 't', kind: 'boolean', help: '' },
  { name: 'publish', short: 'p', kind: 'list', help: '' },
  { name: 'env', short: 'e', kind: 'list', help: '' },
  { name: 'name', kind: 'string', help: '' },
  { name: 'sig-proxy', kind: 'boolean', default: true, help: '' },
  { name: 'time', kind: 'number', help: '' },
]

describe('parseCommandLine', () => {
  it('takes the forms that Go programs take', () => {
    const parsed = parseCommandLine(
      ['--rm=false', '-p80:80', '-eA=1', '-it', '--name=x', '-p', '81:81'],
      flags,
    )
    expect(parsed.flag('rm')).toBe(false)
    expect(parsed.list('publish')).toEqual(['80:80', '81:81'])
    expect(parsed.list('env')).toEqual(['A=1'])
    expect([parsed.flag('interactive'), parsed.flag('tty')]).toEqual([true, true])
    expect(parsed.text('name')).toBe('x')
  })
  it('takes joined booleans with a last flag that has a value', () => {
    const parsed = parseCommandLine(['-ite', 'A=1', 'image'], flags)
    expect([parsed.flag('tty'), parsed.list('env'), parsed.arguments]).toEqual([true, ['A=1'], ['image']])
  })
  it("leaves the container's own flags alone", () => {
    const parsed = parseCommandLine(['--rm', 'busybox', 'ls', '-l', '--rm=x'], flags, {
      stopAtFirstArgument: true,
    })
    expect(parsed.arguments).toEqual(['busybox', 'ls', '-l', '--rm=x'])
  })
  it('mixes flags and arguments elsewhere, up to --', () => {
    const parsed = parseCommandLine(['a', '--rm', 'b', '--', '--name'], flags)
    expect([parsed.flag('rm'), parsed.arguments]).toEqual([true, ['a', 'b', '--name']])
  })
  it('knows defaults and what was given', () => {
    const parsed = parseCommandLine(['--sig-proxy=0'], flags)
    expect([parsed.flag('sig-proxy'), parsed.has('sig-proxy'), parsed.has('rm')]).toEqual([
      false,
      true,
      false,
    ])
    expect(parseCommandLine([], flags).flag('sig-proxy')).toBe(true)
  })
  it.each([
    [['--nope'], 'unknown flag: --nope'],
    [['-x'], "unknown shorthand flag: 'x' in -x"],
    [['--name'], 'flag needs an argument: --name'],
    [['-p'], "flag needs an argument: 'p' in -p"],
    [['--rm=maybe'], 'invalid argument "maybe" for "--rm" flag'],
    [['--time', 'soon'], 'invalid argument "soon" for "--time" flag'],
  ])('refuses %j', (argv, message) => {
    expect(() => parseCommandLine(argv, flags)).toThrow(message)
  })
})
