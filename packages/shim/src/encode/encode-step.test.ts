import { describe, expect, it } from 'vitest'
import { TableWriter } from '@holdfast/core'
import type { Step } from '@holdfast/plan'
import { encodeStep, sysctlPath } from './encode-step.ts'

/** A header without names has 69 bytes; then come the step's opcode and size, 8 bytes, and its payload. */
function encoded(step: Step): string {
  const table = new TableWriter()
  encodeStep(table, step)
  return table.finish({ mode: 'launch', report: 'report' }).subarray(77).toString('hex')
}

describe('a step', () => {
  it('unshares by the flags of its namespaces', () => {
    expect(encoded({ do: 'unshare', namespaces: ['cgroup', 'time'] })).toBe('80000002')
  })

  it('clears the whole atime field where it sets one of the three', () => {
    expect(encoded({ do: 'root-attributes', set: { readonly: true, atime: 'noatime' } })).toBe(
      ['1100000000000000', '7000000000000000', '00000000', '00000000'].join(''),
    )
  })

  it('sends capabilities as one mask for each set', () => {
    const step: Step = {
      do: 'capabilities',
      effective: ['CAP_CHOWN'],
      permitted: ['CAP_CHOWN', 'CAP_BPF'],
      inheritable: [],
      ambient: [],
    }
    expect(encoded(step)).toBe(
      ['0100000000000000', '0100000080000000', '0'.repeat(16), '0'.repeat(16)].join(''),
    )
  })

  it('carries limits of 64 bits', () => {
    expect(
      encoded({ do: 'rlimit', resource: 'RLIMIT_NOFILE', soft: '1', hard: '18446744073709551615' }),
    ).toMatch(/070000000100000000000000f{16}00000000$/)
  })

  it('splits the state of a hook at its pid', () => {
    const hex = encoded({
      do: 'hook',
      kind: 'startContainer',
      path: '/h',
      args: [],
      env: [],
      state: '{"pid":%PID%}',
    })
    const parts = ['{"pid":\0', '\x01\0\0\0', '}\0'] // the first text, the length of the second, and it
    expect(Buffer.from(hex, 'hex').toString('latin1').endsWith(parts.join(''))).toBe(true)
  })

  it.each([
    [
      'scheduler',
      {
        do: 'scheduler',
        policy: 'SCHED_NONSENSE',
        nice: 0,
        priority: 0,
        flags: [],
        runtime: '0',
        deadline: '0',
        period: '0',
      },
    ],
    ['rlimit', { do: 'rlimit', resource: 'RLIMIT_NONSENSE', soft: '0', hard: '0' }],
    ['io-priority', { do: 'io-priority', class: 'constructor', priority: 0 }],
  ] as [string, Step][])('with an unknown word is refused: %s', (_, step) => {
    expect(() => encodeStep(new TableWriter(), step)).toThrow(
      expect.objectContaining({ code: 'HF_INVALID_CONFIG' }),
    )
  })
})

describe('a sysctl', () => {
  it.each([
    ['net.ipv4.ip_forward', 'sys/net/ipv4/ip_forward'],
    ['net/ipv4/ip_forward', 'sys/net/ipv4/ip_forward'],
    ['net.ipv4.conf.eth0/1.rp_filter', 'sys/net/ipv4/conf/eth0.1/rp_filter'],
    ['net/ipv4/conf/eth0.1/rp_filter', 'sys/net/ipv4/conf/eth0.1/rp_filter'],
  ])('%s lies at %s', (key, path) => expect(sysctlPath(key)).toBe(path))
})
