import { describe, expect, it } from 'vitest'
import { describeRule, type EgressRule } from './egress-rule.ts'
import { parseEgressPolicy } from './egress-text.ts'

describe('an egress policy in one line', () => {
  it('is what its rules are called in refusals', () => {
    const rules: EgressRule[] = [
      {},
      { to: '10.0.0.0/8' },
      { to: 'fd00::/8', protocol: 'tcp', port: 443 },
      { to: '*.example.org', port: 443 },
      { to: '192.0.2.1', protocol: 'icmp' },
      { protocol: 'udp', port: [5000, 5010] },
      { port: [1, 65_535] },
      { protocol: 'sctp' },
    ]
    const text = rules.map(describeRule).join(' ,  ')
    expect(parseEgressPolicy({ allow: text }, 'labels')).toEqual({ allow: rules })
    expect(parseEgressPolicy({ deny: text, allow: '' }, 'labels')).toEqual({ allow: [], deny: rules })
    expect(parseEgressPolicy({}, 'labels')).toBeUndefined()
  })

  it.for([
    'example.org,',
    ',',
    'example.org 443',
    'example.org port',
    'tcp port 443',
    'example.org tcp 443 80',
    'example.org tcp 99999',
    'example.org tcp 1-2-3',
    'example.org tcp x',
    'icmp 8',
    'anything tcp',
    '10.0.0.0/99',
    'not_a_name.0',
  ])('is refused with the rule that is wrong: %s', (text) => {
    expect(() => parseEgressPolicy({ deny: text }, 'labels')).toThrow(/labels\.deny\[\d\]/)
  })
})
