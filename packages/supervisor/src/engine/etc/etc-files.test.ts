import { describe, expect, it } from 'vitest'
import {
  hostNetworkHostsFile,
  hostsFile,
  parseExtraHost,
  readHostResolvConf,
  resolvConf,
} from './etc-files.ts'

const hosts = {
  addresses: ['10.213.0.2'],
  hostname: 'web',
  domainname: '',
  extraHosts: [],
  hostGateway: '10.213.0.1',
}
const resolv = { host: '', dns: [], search: [], options: [], hostNetwork: false }

describe('/etc/hosts', () => {
  it('names the container by its address, with its domain first', () => {
    expect(hostsFile(hosts)).toContain('10.213.0.2\tweb\n')
    expect(hostsFile({ ...hosts, domainname: 'test' })).toContain('10.213.0.2\tweb.test web\n')
    expect(hostsFile({ ...hosts, hostname: 'web.a.test' })).toContain('10.213.0.2\tweb.a.test web\n')
  })

  it('knows localhost even without a network', () => {
    const text = hostsFile({ ...hosts, addresses: [] })
    expect(text).toMatch(/^127\.0\.0\.1\tlocalhost\n::1\tlocalhost/)
    expect(text).not.toContain('web')
  })

  it('adds hosts in both notations, and the gateway', () => {
    const text = hostsFile({
      ...hosts,
      extraHosts: ['db:10.0.0.9', 'six=[fd00::1]', 'host.docker.internal:host-gateway'],
    })
    expect(text).toContain('10.0.0.9\tdb\nfd00::1\tsix\n10.213.0.1\thost.docker.internal\n')
  })

  it('refuses what is no address', () => {
    expect(() => parseExtraHost('db')).toThrow('bad format for add-host: "db"')
    expect(() => parseExtraHost('db:nowhere')).toThrow('invalid IP address in add-host: "nowhere"')
    expect(() => parseExtraHost('a\nb:1.2.3.4')).toThrow('bad format')
    expect(() => hostsFile({ ...hosts, extraHosts: ['x:host-gateway'], hostGateway: undefined })).toThrow(
      'host-gateway',
    )
  })

  it("is the host's own on the host's network", () => {
    expect(hostNetworkHostsFile('127.0.0.1 localhost', ['db:1.2.3.4'])).toBe(
      '127.0.0.1 localhost\n1.2.3.4\tdb\n',
    )
  })
})

describe('/etc/resolv.conf', () => {
  const host = 'nameserver 127.0.0.1\nnameserver 10.0.0.53\nsearch example.test\noptions ndots:2\n'

  it("keeps the host's servers that a container can reach", () => {
    expect(resolvConf({ ...resolv, host })).toMatch(
      /^#.*\nnameserver 10\.0\.0\.53\nsearch example\.test\noptions ndots:2\n$/,
    )
    expect(resolvConf({ ...resolv, host, hostNetwork: true })).toContain(
      'nameserver 127.0.0.1\nnameserver 10.0.0.53\n',
    )
  })

  it('falls back to public servers, and says so', () => {
    const text = resolvConf({ ...resolv, host: 'nameserver ::1\n' })
    expect(text).toContain('nameserver 8.8.8.8\nnameserver 8.8.4.4\n')
    expect(text).toContain('names no server that a container can reach')
  })

  it('takes what is asked for instead', () => {
    const text = resolvConf({ ...resolv, host, dns: ['1.1.1.1'], search: ['.'], options: ['rotate'] })
    expect(text).toMatch(/^#.*\nnameserver 1\.1\.1\.1\noptions rotate\n$/)
  })

  it("looks behind systemd-resolved's stub", () => {
    const files: Record<string, string> = {
      '/etc/resolv.conf': 'nameserver 127.0.0.53\n',
      '/run/systemd/resolve/resolv.conf': 'nameserver 10.9.9.9\n',
    }
    expect(readHostResolvConf((path) => files[path] ?? '')).toBe('nameserver 10.9.9.9\n')
  })
})
