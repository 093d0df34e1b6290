import { describe, expect, it } from 'vitest'
import { parseFlags } from './flags.ts'

describe('the flags', () => {
  it('derive everything from the instance', () => {
    expect(parseFlags(['--instance', 'ci2'])).toMatchObject({
      hosts: ['unix:///run/ci2/ci2.sock'],
      dataRoot: '/var/lib/ci2',
      execRoot: '/run/ci2',
      pidfile: '/run/ci2/ci2.pid',
    })
    expect(parseFlags([])).toMatchObject({
      instance: 'holdfast',
      hosts: ['unix:///run/holdfast/holdfast.sock'],
      usernsBase: 0x7000_0000,
    })
  })
  it('are taken as given', () => {
    const flags = parseFlags([
      '-H',
      'unix:///a',
      '--host=unix:///b',
      '--bip',
      '10.1.0.1/24',
      '--default-address-pool=base=10.9.0.0/16,size=26',
      '--shim-process',
    ])
    expect(flags).toMatchObject({
      hosts: ['unix:///a', 'unix:///b'],
      bip: '10.1.0.1/24',
      addressPool: { base: '10.9.0.0/16', size: 26 },
      plainShims: true,
    })
  })
  it('are refused by name', () => {
    expect(() => parseFlags(['--instance', 'much-too-long'])).toThrow('invalid instance name')
    for (const cidr of ['10.1.0.1', '10.1.0.1/33', '10.1.0/24', 'fd00::1/64', '10.1.0.1/24/24']) {
      expect(() => parseFlags(['--bip', cidr])).toThrow('invalid --bip')
    }
    expect(() => parseFlags(['--data-root', 'here'])).toThrow('--data-root must be an absolute path')
    expect(() => parseFlags(['--exec-root', `/${'x'.repeat(40)}`])).toThrow('too long')
    expect(() => parseFlags(['--default-address-pool', 'base=10.0.0.0/16,size=12'])).toThrow(
      'invalid --default-address-pool',
    )
    expect(() => parseFlags(['--userns-base', '7'])).toThrow('invalid --userns-base')
    for (const cidr of ['10.0.0.0/24', 'fd00:db8::/127', 'fd00:db8::/47', 'fd00:db8::']) {
      expect(() => parseFlags(['--fixed-cidr-v6', cidr])).toThrow('invalid --fixed-cidr-v6')
    }
    expect(() => parseFlags(['--nope'])).toThrow("Unknown option '--nope'")
  })
})
