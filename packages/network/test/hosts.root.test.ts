// Hosts that lack something, or that others have set up.
import { closeFd, createNamespace, openSocketIn } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PortMapping } from '../src/index.ts'
import { fetchTcp, TestHost } from './network-fixture.ts'

let host: TestHost

beforeEach(async () => {
  host = await TestHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const tcp = (hostPort: number): PortMapping => ({ protocol: 'tcp', containerPort: 80, hostPort })
const root = process.getuid?.() === 0

describe.skipIf(!root)('a host with IPv6 switched off', () => {
  beforeEach(() =>
    host.run('sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1'),
  )

  it('has IPv4 networks, with ports and policies', async () => {
    const network = await host.open({ subnets: [{ subnet: '10.77.0.0/24' }] })
    const web = await host.container(network, [tcp(8080)])
    await host.serve(web.netns, 'web', 80)
    await host.serve(host.netns, 'host', 81)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    await network.allow(web.attachment, [])
    expect(await fetchTcp(web.netns, '10.77.0.1', 81, 1)).toBe('')
    expect(await network.repair()).toEqual([])
  })

  it('is told what an IPv6 subnet needs, and nothing is left of it', async () => {
    await expect(host.open()).rejects.toMatchObject({
      code: 'EACCES',
      hint: 'IPv6 is switched off for this interface: see net.ipv6.conf.*.disable_ipv6.',
    })
    expect(await host.run('ip -o link; nft list ruleset')).not.toMatch(/hf0|hft/)
  })
})

describe.skipIf(!root)('a host without br_netfilter, or where it is off', () => {
  it('lets containers reach each other, themselves by a published port, and the host', async () => {
    await host.run('sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0')
    const network = await host.open()
    const [web, other] = [await host.container(network, [tcp(8080)]), await host.container(network)]
    await host.serve(web.netns, 'web', 80)
    expect(await fetchTcp(other.netns, web.ip, 80)).toBe(`web ${other.ip}`)
    expect(await fetchTcp(other.netns, '10.77.0.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(web.netns, '10.77.0.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
  })
})

describe.skipIf(!root)('a host where iptables-legacy drops what is forwarded', () => {
  it('is told the command that lets containers through, and it does', async ({ skip }) => {
    try {
      await host.run('iptables-legacy -P FORWARD DROP')
    } catch {
      skip('this kernel or this machine has no iptables-legacy')
    }
    const outside = await host.neighbour()
    await host.serve(outside, 'outside', 80)
    const network = await host.open()
    expect(network.warnings).toEqual([
      'forwarded packets are dropped by iptables-legacy, chain FORWARD: iptables-legacy -I FORWARD -i hf0 -j ACCEPT && iptables-legacy -I FORWARD -o hf0 -j ACCEPT',
    ])
    const web = await host.container(network, [tcp(8080)])
    await host.serve(web.netns, 'web', 80)
    expect(await fetchTcp(web.netns, '192.0.2.2', 80, 1)).toBe('')
    await host.run(network.warnings[0]!.split('FORWARD: ')[1]!)
    expect(await fetchTcp(web.netns, '192.0.2.2', 80)).toBe('outside 192.0.2.1')
    expect(await fetchTcp(outside, '192.0.2.1', 8080)).toBe('web 192.0.2.2')
  })
})

describe.skipIf(!root)('sctp', () => {
  const mapping: PortMapping = { protocol: 'sctp', containerPort: 38_412, hostPort: 38_412 }

  it('has ports of its own, which are translated like any others', async () => {
    const network = await host.open()
    const core = await host.container(network, [mapping, { ...mapping, protocol: 'tcp' }])
    const rules = await host.run('nft list map inet hft publish4_any')
    expect(rules).toContain(`sctp . 38412 : ${core.ip} . 38412`)
    expect(rules).toContain(`tcp . 38412 : ${core.ip} . 38412`)
    await expect(host.container(network, [mapping])).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: 'port 0.0.0.0:38412/sctp is in use by container c1',
    })
    const ports = core.attachment.ports.filter(({ protocol }) => protocol === 'sctp')
    await network.unpublish(core.attachment, ports)
    expect(await host.run('nft list map inet hft publish4_any')).not.toContain('sctp')
  })

  it.skipIf(!root || !hasSctp())('reaches a container by a published port', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const core = await host.container(network, [mapping])
    const listener = openSocketIn(core.netns, {
      family: 'inet',
      type: 'stream',
      protocol: 132,
      bind: { address: '0.0.0.0', port: 38_412 },
      listen: 1,
    })
    const client = openSocketIn(outside, {
      family: 'inet',
      type: 'stream',
      protocol: 132,
      connect: { address: '192.0.2.1', port: 38_412 },
    })
    const writable = Promise.withResolvers<void>()
    const { watchFd } = await import('@holdfast/core')
    const watch = watchFd(client, { writable: true }, ({ error, hangup }) =>
      error || hangup ? writable.reject(new Error('refused')) : writable.resolve(),
    )
    await writable.promise
    watch.close()
    for (const fd of [listener, client]) closeFd(fd)
  })
})

function hasSctp(): boolean {
  const netns = createNamespace('net')
  try {
    closeFd(openSocketIn(netns, { family: 'inet', type: 'stream', protocol: 132 }))
    return true
  } catch (error) {
    if (hasCode(error, 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT')) return false
    throw error
  } finally {
    closeFd(netns)
  }
}

describe.skipIf(!root)('a port that another process of ours translates', () => {
  it('is refused with the container that has it, though nobody holds a socket', async () => {
    const network = await host.open()
    await host.container(network, [], 'holder')
    await host.run('nft add element inet hft publish4_any { tcp . 8080 : 10.77.0.2 . 80 }')
    await expect(host.container(network, [tcp(8080)], 'late')).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: 'a port is in use by container holder: tcp 8080 → 10.77.0.2 port 80',
      details: { holder: { container: 'holder', address: '10.77.0.2' } },
    })
    // A failed attach leaves nothing.
    expect(await host.run('ip -o link show master hf0 | wc -l')).toBe('1')
    expect(await host.run('nft list map inet hft publish6_any')).not.toContain('8080')
  })
})
