import { describe, expect, it } from 'vitest'
import { formatAddress } from './address.ts'
import type { AttachRequest, BridgeOptions } from './bridge.ts'
import { validateAttach, validateOptions } from './validate.ts'

function options(change: Partial<BridgeOptions> = {}): BridgeOptions {
  return {
    name: 'bridge',
    bridge: 'hf0',
    table: 'hf',
    stateDir: '/nowhere',
    ipMasq: true,
    subnets: [{ subnet: '10.1.2.0/24' }],
    ...change,
  }
}

function request(change: Partial<AttachRequest> = {}): AttachRequest {
  return { id: 'abc', netns: 3, interface: 'eth0', ...change }
}

describe('options of a network', () => {
  it('get a gateway and a range from the subnet', () => {
    const [range] = validateOptions(options()).ranges
    expect(formatAddress(range!.gateway)).toBe('10.1.2.1')
    expect([range!.first, range!.last].map((value) => formatAddress({ family: 4, value }))).toEqual([
      '10.1.2.1',
      '10.1.2.254',
    ])
  })

  it('take a gateway and a range of their own', () => {
    const subnets = [
      { subnet: '10.1.2.0/24', gateway: '10.1.2.254', range: '10.1.2.128/25' },
      { subnet: 'fd00::/64' },
    ]
    const [range] = validateOptions(options({ subnets })).ranges
    expect([range!.first, range!.last].map((value) => formatAddress({ family: 4, value }))).toEqual([
      '10.1.2.128',
      '10.1.2.254',
    ])
  })

  it.each<[string, Partial<BridgeOptions>]>([
    ['bridge', { bridge: 'a-name-too-long-for-a-link' }],
    ['bridge', { bridge: 'a b' }],
    ['bridge', { bridge: 'x";drop' }],
    ['table', { table: 'a; flush ruleset' }],
    ['subnets', { subnets: [] }],
    ['subnets', { subnets: [{ subnet: '10.1.0.0/24' }, { subnet: '10.2.0.0/24' }] }],
    ['subnets[0].subnet', { subnets: [{ subnet: '10.1.2.0/31' }] }],
    ['subnets[0].subnet', { subnets: [{ subnet: '10.1.2.1/24' }] }],
    ['subnets[0].gateway', { subnets: [{ subnet: '10.1.2.0/24', gateway: '10.1.3.1' }] }],
    ['subnets[0].gateway', { subnets: [{ subnet: '10.1.2.0/24', gateway: '10.1.2.255' }] }],
    ['subnets[0].range', { subnets: [{ subnet: '10.1.2.0/24', range: '10.1.0.0/16' }] }],
    ['mtu', { mtu: 10 }],
  ])('with a bad %s are refused', (field, change) => {
    expect(() => validateOptions(options(change))).toThrow(
      expect.objectContaining({ code: 'HF_BAD_REQUEST', details: expect.objectContaining({ field }) }),
    )
  })
})

describe('a request to attach', () => {
  const plan = validateOptions(options())

  it('publishes on the default addresses of the families that the network has', () => {
    const ports = [{ protocol: 'tcp' as const, containerPort: 80, hostPort: 0 }]
    const checked = validateAttach(plan, request({ ports })).ports[0]!
    expect(checked.hostIps.map(formatAddress)).toEqual(['0.0.0.0'])
  })

  it.each<[string, Partial<AttachRequest>]>([
    ['id', { id: '' }],
    ['id', { id: 'a b' }],
    ['netns', { netns: -1 }],
    ['netns', { netns: 1.5 }],
    ['interface', { interface: 'a/b' }],
    ['interface', { interface: '..' }],
    ['addresses[0]', { addresses: ['10.1.2'] }],
    ['addresses', { addresses: ['10.1.2.3', '10.1.2.4'] }],
    ['mac', { mac: 'ff:ff:ff:ff:ff:ff' }],
    ['ports[0].containerPort', { ports: [{ protocol: 'tcp', containerPort: 0, hostPort: 1 }] }],
    ['ports[0].hostPort', { ports: [{ protocol: 'tcp', containerPort: 1, hostPort: 65_536 }] }],
    ['ports[0].hostPort', { ports: [{ protocol: 'tcp', containerPort: 1, hostPort: 0, hostPortEnd: 9 }] }],
    ['ports[0].hostPortEnd', { ports: [{ protocol: 'tcp', containerPort: 1, hostPort: 9, hostPortEnd: 8 }] }],
    ['ports[0].protocol', { ports: [{ protocol: 'icmp' as 'tcp', containerPort: 1, hostPort: 9 }] }],
    ['ports[0].hostIp', { ports: [{ protocol: 'tcp', containerPort: 1, hostPort: 9, hostIp: 'localhost' }] }],
  ])('with a bad %s is refused', (field, change) => {
    expect(() => validateAttach(plan, request(change))).toThrow(
      expect.objectContaining({ code: 'HF_BAD_REQUEST', details: expect.objectContaining({ field }) }),
    )
  })
})
