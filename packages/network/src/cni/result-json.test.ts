import { describe, expect, it } from 'vitest'
import type { Result } from '../attachment/network-config.ts'
import { errorJson, CniError } from './error.ts'
import { readEnvironment } from './environment.ts'
import { HoldfastError, SyscallError } from '@holdfast/errors'
import { decodeResult, encodeResult } from './result-json.ts'
import { supportedVersions } from './version.ts'

const result: Result = {
  interfaces: [
    { name: 'cni0', mac: '0a:00:00:00:00:01', mtu: 1500 },
    { name: 'eth0', sandbox: '/n' },
  ],
  ips: [
    { address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 1 },
    { address: 'fd00::2/64', interface: 1 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1', mtu: 1400 }],
  dns: { nameservers: ['10.1.0.1'] },
}

describe('results', () => {
  it.for(['0.1.0', '0.2.0'] as const)('of version %s have an address of each family', (version) => {
    const encoded = encodeResult(result, version)
    expect(encoded).toEqual({
      cniVersion: version,
      ip4: { ip: '10.1.0.2/24', gateway: '10.1.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }] },
      ip6: { ip: 'fd00::2/64' },
      dns: { nameservers: ['10.1.0.1'] },
    })
    expect(decodeResult(encoded, '')).toEqual({
      interfaces: [],
      ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }, { address: 'fd00::2/64' }],
      routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }],
      dns: result.dns,
    })
  })

  it.for(supportedVersions.slice(2))('of version %s are read back as they were', (version) => {
    const decoded = decodeResult(JSON.parse(JSON.stringify(encodeResult(result, version))), '')
    const detailed = version === '1.1.0'
    expect(decoded.ips).toEqual(result.ips)
    expect(decoded.dns).toEqual(result.dns)
    expect(decoded.interfaces[0]!.mtu).toBe(detailed ? 1500 : undefined)
    expect(decoded.routes[0]!.mtu).toBe(detailed ? 1400 : undefined)
  })

  it('refuse an address that names an interface which is not there', () => {
    expect(() =>
      decodeResult(
        { interfaces: [{ name: 'a' }], ips: [{ address: '10.0.0.1/8', interface: 3 }] },
        'prevResult',
      ),
    ).toThrow('prevResult.ips[0].interface')
  })
})

describe('errors', () => {
  it('have the specification’s numbers', () => {
    const code = (error: unknown) => errorJson(error, '1.1.0').code
    expect(code(new CniError(11, 'later'))).toBe(11)
    expect(code(new HoldfastError('HF_INVALID_CONFIG', 'x'))).toBe(7)
    expect(code(new HoldfastError('HF_NAMESPACE_NOT_FOUND', 'x'))).toBe(3)
    expect(code(new SyscallError({ errno: 1, code: 'EPERM', syscall: 'x' }))).toBe(105)
    expect(code(new AggregateError([new HoldfastError('HF_PORT_IN_USE', 'x'), new Error('y')]))).toBe(101)
    expect(code(new TypeError('defect'))).toBe(199)
  })
})

describe('the environment', () => {
  it('is asked for what the command needs', () => {
    expect(readEnvironment({ CNI_COMMAND: 'VERSION' }).command).toBe('VERSION')
    expect(readEnvironment({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'a', CNI_IFNAME: 'e' }).netns).toBe('')
    expect(() => readEnvironment({ CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'a', CNI_IFNAME: 'e' })).toThrow(
      'CNI_NETNS',
    )
    const env = {
      CNI_COMMAND: 'DEL',
      CNI_CONTAINERID: 'a',
      CNI_IFNAME: 'e',
      CNI_ARGS: 'IgnoreUnknown=1;X=y=z;IP=1.2.3.4',
    }
    expect(readEnvironment(env).args).toEqual({ IgnoreUnknown: '1', X: 'y=z', IP: '1.2.3.4' })
    expect(() => readEnvironment({ ...env, CNI_ARGS: 'X=1' })).toThrow('X is not known')
  })
})
