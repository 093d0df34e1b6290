import { describe, expect, it } from 'vitest'
import { formatPrefix } from '../address.ts'
import { validateRuntime } from './validate-runtime.ts'
import { validate } from './validate.ts'

const minimal = { name: 'net1', ipam: { subnet: '10.1.0.0/24' } }
const path = (json: unknown): unknown => {
  try {
    validate(json)
  } catch (error) {
    return (
      (error as { details?: { path?: string; field?: string } }).details?.path ??
      (error as { code: string }).code
    )
  }
  return undefined
}

describe('a network’s configuration', () => {
  it('has the reference plugin’s defaults', () => {
    expect(validate({ name: 'net1' })).toEqual({
      name: 'net1',
      link: {
        kind: 'bridge',
        bridge: 'cni0',
        isGateway: false,
        isDefaultGateway: false,
        forceAddress: false,
        hairpinMode: false,
        promiscMode: false,
        vlan: 0,
        vlanTrunk: [],
        preserveDefaultVlan: true,
        macspoofchk: false,
        portIsolation: false,
        enabledad: false,
        disableContainerInterface: false,
      },
      ipMasq: false,
      ipam: { from: 'own', sets: [], routes: [], reserved: [] },
      dns: {},
      stateDir: '/run/holdfast/cni',
    })
  })

  it('passes over what it does not know, and null', () => {
    expect(
      path({ ...minimal, cniVersion: '1.0.0', prevResult: {}, unknown: { a: 1 }, bridge: null }),
    ).toBeUndefined()
  })

  it('is the gateway where it is the default gateway', () => {
    expect(validate({ ...minimal, isDefaultGateway: true }).link).toMatchObject({ isGateway: true })
  })

  it('leaves addresses to another plugin that is named, or to nobody', () => {
    expect(validate({ name: 'a', ipam: { type: 'host-local' } }).ipam).toEqual({ from: 'caller' })
    expect(validate({ name: 'a', ipam: { type: 'none' } }).ipam).toEqual({ from: 'nowhere' })
    expect(validate({ name: 'a', disableContainerInterface: true }).ipam).toEqual({ from: 'nowhere' })
    expect(validate({ name: 'a', ipam: {} }).ipam).toEqual({ from: 'nowhere' })
    const ipRanges = [[{ subnet: '10.1.0.0/24' }]]
    expect(validate({ name: 'a', ipam: {}, runtimeConfig: { ipRanges } }).ipam).toMatchObject({ from: 'own' })
  })

  it('reads VLAN trunks', () => {
    const { link } = validate({ ...minimal, vlanTrunk: [{ minID: 3, maxID: 5 }, { id: 9 }, { id: 4 }] })
    expect(link).toMatchObject({ vlanTrunk: [3, 4, 5, 9] })
  })

  it('reads ranges and reservations', () => {
    const { ipam } = validate({
      name: 'a',
      ipam: {
        ranges: [
          [{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.5', rangeEnd: '10.1.0.9', gateway: '10.1.0.254' }],
        ],
        reserved: ['10.1.0.7', '10.1.0.8/31'],
      },
    })
    if (ipam.from !== 'own') throw new Error('not our own')
    expect(ipam.sets[0]![0]).toMatchObject({
      first: 0x0a010005n,
      last: 0x0a010009n,
      gateway: { value: 0x0a0100fen },
    })
    expect(ipam.reserved.map(formatPrefix)).toEqual(['10.1.0.7/32', '10.1.0.8/31'])
  })

  it.for([
    [{}, 'name'],
    [{ name: '../x' }, 'name'],
    [{ ...minimal, bridge: 'a/b' }, 'bridge'],
    [{ ...minimal, bridge: 'a"b' }, 'bridge'],
    [{ ...minimal, mtu: 20 }, 'mtu'],
    [{ ...minimal, isGateway: 'yes' }, 'isGateway'],
    [{ ...minimal, hairpinMode: true, promiscMode: true }, 'promiscMode'],
    [{ ...minimal, vlan: 5, vlanTrunk: [{ id: 6 }] }, 'vlanTrunk'],
    [{ ...minimal, vlan: 4095 }, 'vlan'],
    [{ ...minimal, bridge: 'abcdefghijk', isGateway: true, vlan: 4094 }, 'bridge'], // no interface can be called so
    [{ ...minimal, vlanTrunk: [{ minID: 3 }] }, 'vlanTrunk[0]'],
    [{ ...minimal, ipMasqBackend: 'ebtables' }, 'ipMasqBackend'],
    [{ ...minimal, disableContainerInterface: true }, 'ipam'],
    [{ ...minimal, stateDir: 'here' }, 'stateDir'],
    [{ ...minimal, link: 'token-ring' }, 'link'],
    [{ ...minimal, link: 'macvlan', ipMasq: true }, 'HF_UNSUPPORTED'],
    [{ ...minimal, link: 'host-device' }, 'device'],
    [{ ...minimal, link: 'host-device', device: 'a', hwaddr: '0a:00:00:00:00:01' }, 'device'],
    [{ ...minimal, link: 'host-device', kernelpath: '/sys/devices/../x' }, 'kernelpath'],
    [{ name: 'a', ipam: { subnet: '10.1.0.1/24' } }, 'ipam.subnet'],
    [
      { name: 'a', ipam: { ranges: [[{ subnet: '10.1.0.0/24' }, { subnet: 'fd00::/64' }]] } },
      'ipam.ranges[0]',
    ],
    [
      { name: 'a', ipam: { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.1.0.0/16' }]] } },
      'ipam.ranges',
    ],
    [{ name: 'a', ipam: { subnet: '10.1.0.0/24', rangeStart: '10.2.0.1' } }, 'ipam.rangeStart'],
    [
      { ...minimal, ipam: { subnet: '10.1.0.0/24', routes: [{ dst: '0.0.0.0/0', gw: 'fd00::1' }] } },
      'ipam.routes[0].gw',
    ],
    [{ name: 'a', ipam: { type: '../sh' } }, 'ipam.type'],
  ])('is refused with the path of what is wrong: %j', ([json, wrong]) => {
    expect(path(json)).toBe(wrong)
  })
})

describe('what the runtime adds', () => {
  it('prefers capabilities to args, and args to CNI_ARGS', () => {
    const args = { IP: '10.1.0.9', MAC: '0a:00:00:00:00:09' }
    const texts = (json: object) => validateRuntime(json, args).ips.map(({ value }) => value & 0xffn)
    expect(texts({ runtimeConfig: { ips: ['10.1.0.7/24'] }, args: { cni: { ips: ['10.1.0.8'] } } })).toEqual([
      7n,
    ])
    expect(texts({ args: { cni: { ips: ['10.1.0.8'] } } })).toEqual([8n])
    expect(texts({})).toEqual([9n])
    expect(validateRuntime({ runtimeConfig: { mac: '0A:00:00:00:00:01' } }, args).mac).toBe(
      '0a:00:00:00:00:01',
    )
  })

  it('leaves out ports that are exposed and not published', () => {
    const portMappings = [
      { containerPort: 80, hostPort: 0 },
      { containerPort: 81, hostPort: 8081, protocol: 'UDP', hostIP: '' },
    ]
    expect(validateRuntime({ runtimeConfig: { portMappings } }).portMappings).toEqual([
      { protocol: 'udp', containerPort: 81, hostPort: 8081 },
    ])
  })

  it('takes a rate of 0 for no limit, and refuses a burst without a rate', () => {
    expect(
      validateRuntime({ runtimeConfig: { bandwidth: { ingressRate: 0, egressRate: 800 } } }).bandwidth,
    ).toEqual({ egressRate: 800 })
    expect(() => validateRuntime({ runtimeConfig: { bandwidth: { ingressBurst: 8 } } })).toThrow(
      /ingressRate/,
    )
  })
})
