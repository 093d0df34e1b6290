import { describe, expect, it } from 'vitest'
import { parseAddress, type Address } from '../address.ts'
import {
  checkPolicy,
  describeRule,
  refusalBy,
  type EgressPolicy,
  type EgressRule,
  type Packet,
} from './egress-rule.ts'

function packet(destination: string, protocol = 6, port: number | undefined = 443): Packet {
  return {
    source: parseAddress('10.77.0.2', 'source'),
    destination: parseAddress(destination, 'destination'),
    protocol,
    ...(port !== undefined && { port }),
  }
}

const learned: Address[] = [parseAddress('192.0.2.7', 'learned')]

function refusal(policy: EgressPolicy, ...of: Parameters<typeof packet>): string | undefined {
  return refusalBy(checkPolicy(policy, 'egress'), packet(...of), () => learned)
}

describe('a policy', () => {
  it('without lists refuses nothing', () => {
    expect(refusal({}, '192.0.2.1')).toBeUndefined()
  })

  it('refuses what a deny rule names, whatever is allowed', () => {
    const policy = { allow: [{}], deny: [{ to: '192.0.2.0/24', protocol: 'tcp' as const, port: 443 }] }
    expect(refusal(policy, '192.0.2.1')).toBe('deny 192.0.2.0/24 tcp 443')
    expect(refusal(policy, '192.0.2.1', 6, 80)).toBeUndefined()
    expect(refusal(policy, '192.0.2.1', 17)).toBeUndefined()
    expect(refusal(policy, '192.0.3.1')).toBeUndefined()
    expect(refusal(policy, '2001:db8::1')).toBeUndefined()
  })

  it('with an allow list refuses all else', () => {
    const policy = { allow: [{ to: 'example.org', port: [400, 500] as [number, number] }] }
    expect(refusal(policy, '192.0.2.7')).toBeUndefined()
    expect(refusal(policy, '192.0.2.8')).toBe('nothing allows it')
    expect(refusal(policy, '192.0.2.7', 6, 501)).toBe('nothing allows it')
    expect(refusal(policy, '192.0.2.7', 47, undefined)).toBe('nothing allows it')
    expect(refusal({ allow: [] }, '192.0.2.7')).toBe('nothing allows it')
  })

  it('knows icmp of both families by one name', () => {
    const policy = { allow: [{ protocol: 'icmp' as const }] }
    expect(refusal(policy, '192.0.2.7', 1, undefined)).toBeUndefined()
    expect(refusal(policy, 'fd00::1', 58, undefined)).toBeUndefined()
    expect(refusal(policy, 'fd00::1', 1, undefined)).toBe('nothing allows it')
  })
})

describe('a rule', () => {
  it.each<[EgressRule, string]>([
    [{}, 'anything'],
    [{ to: '10.0.0.0/8' }, '10.0.0.0/8'],
    [{ to: '*.example.org', port: 443 }, '*.example.org port 443'],
    [{ to: '::1', protocol: 'udp', port: [1, 2] }, '::1 udp 1-2'],
    [{ protocol: 'icmp' }, 'icmp'],
  ])('%o is called %s', (rule, text) => {
    expect(describeRule(rule)).toBe(text)
  })

  it.each<[EgressRule, string]>([
    [{ to: '10.0.0.1/8' }, 'to'],
    [{ to: '10.0.0.256' }, 'to'],
    [{ to: 'a b' }, 'to'],
    [{ to: '' }, 'to'],
    [{ to: 'fe80::1%eth0' }, 'to'],
    [{ to: 'a.*.org' }, 'to'],
    [{ port: 0 }, 'port'],
    [{ port: 70_000 }, 'port'],
    [{ port: [5, 4] }, 'port'],
    [{ port: 1.5 }, 'port'],
    [{ protocol: 'icmp', port: 1 }, 'port'],
    [{ protocol: 'gre' as 'tcp' }, 'protocol'],
  ])('%o is refused', (rule, field) => {
    expect(() => checkPolicy({ deny: [{}, rule] }, 'egress')).toThrow(
      expect.objectContaining({ code: 'HF_BAD_REQUEST', details: { field: `egress.deny[1].${field}` } }),
    )
  })
})
