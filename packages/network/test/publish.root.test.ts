import { closeSync } from 'node:fs'
import { openSocketIn } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inNetns, writeSysctl } from '../src/netns.ts'
import type { PortMapping } from '../src/index.ts'
import { fetchTcp, fetchUdp, run, TestHost, udpSocket } from './network-fixture.ts'

let host: TestHost

beforeEach(async () => {
  host = await TestHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const tcp = (hostPort: number, change: Partial<PortMapping> = {}): PortMapping => ({
  protocol: 'tcp',
  containerPort: 80,
  hostPort,
  ...change,
})

describe.skipIf(process.getuid?.() !== 0)('a published port', () => {
  it('answers on the loopback, on the bridge’s address, from next door and from other containers, in both families', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const web = await host.container(network, [tcp(8080)])
    const other = await host.container(network)
    await host.serve(web.netns, 'web', 80)
    await host.serve(web.netns, 'web', 80, 'tcp', '::')
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    expect(await fetchTcp(host.netns, '127.0.0.5', 8080)).toBe('web 10.77.0.1')
    expect(await fetchTcp(host.netns, '10.77.0.1', 8080)).toBe('web 10.77.0.1')
    expect(await fetchTcp(host.netns, '192.0.2.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(host.netns, 'fd00:77::1', 8080)).toBe('web fd00:77::1')
    // The peer's own address arrives: a forwarder that hides it makes everybody look local.
    expect(await fetchTcp(outside, '192.0.2.1', 8080)).toBe('web 192.0.2.2')
    expect(await fetchTcp(outside, 'fd00:2::1', 8080)).toBe('web fd00:2::2')
    expect(await fetchTcp(other.netns, '192.0.2.1', 8080)).toBe('web 10.77.0.1')
    expect(await fetchTcp(other.netns, 'fd00:77::1', 8080)).toBe('web fd00:77::1')
    // Hairpin: the container reaches itself by the host's address.
    expect(await fetchTcp(web.netns, '10.77.0.1', 8080)).toBe('web 10.77.0.1')
    await network.detach(web.attachment)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080, 1)).toBe('')
  })

  it('answers other containers and the container itself where bridge-nf-call-iptables is on', async () => {
    const network = await host.open()
    inNetns(host.netns, () => {
      writeSysctl('bridge/bridge-nf-call-iptables', '1', true)
      writeSysctl('bridge/bridge-nf-call-ip6tables', '1', true)
    })
    const web = await host.container(network, [tcp(8080)])
    const other = await host.container(network)
    await host.serve(web.netns, 'web', 80)
    expect(await fetchTcp(other.netns, '10.77.0.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(web.netns, '10.77.0.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(other.netns, web.ip, 80)).toBe(`web ${other.ip}`)
  })

  it('of udp answers likewise, and a flow from before it was published finds the container', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const dns = await host.container(network)
    await host.serve(dns.netns, 'dns', 53, 'udp')
    const client = await udpSocket(outside, '0.0.0.0', 4000)
    expect(await fetchUdp(outside, '192.0.2.1', 5353, client)).toBe('')
    const mapping: PortMapping = { protocol: 'udp', containerPort: 53, hostPort: 5353 }
    const ports = await network.publish(dns.attachment, [mapping])
    expect(await fetchUdp(outside, '192.0.2.1', 5353, client)).toBe('dns 192.0.2.2')
    expect(await fetchUdp(host.netns, '127.0.0.1', 5353)).toBe('dns 10.77.0.1')
    await network.unpublish(dns.attachment, ports)
    expect(await fetchUdp(outside, '192.0.2.1', 5353, client)).toBe('')
    const [entries] = [await host.run('conntrack -L -p udp --reply-src 10.77.0.2 2>/dev/null || true')]
    expect(entries).not.toContain('10.77.0.2')
    client.close()
  })

  it('on 127.0.0.1 is not to be had from next door, nor the loopback’s other services from a container', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const web = await host.container(network, [tcp(8080, { hostIp: '127.0.0.1' })])
    await host.serve(web.netns, 'web', 80)
    await host.serve(host.netns, 'secret', 9999, 'tcp', '127.0.0.1')
    expect(web.attachment.ports).toEqual([
      { protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '127.0.0.1' },
    ])
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    expect(await fetchTcp(outside, '192.0.2.1', 8080, 1)).toBe('')
    await run(
      outside,
      'ip addr flush dev lo; ip route add 127.0.0.1/32 via 192.0.2.1 src 192.0.2.2; sysctl -qw net.ipv4.conf.all.route_localnet=1',
    )
    expect(await fetchTcp(outside, '127.0.0.1', 8080, 1)).toBe('')
    await run(
      web.netns,
      'ip addr flush dev lo; ip route add 127.0.0.1/32 via 10.77.0.1 src 10.77.0.2; sysctl -qw net.ipv4.conf.all.route_localnet=1',
    )
    expect(await fetchTcp(web.netns, '127.0.0.1', 9999, 1)).toBe('')
    expect(await fetchTcp(host.netns, '127.0.0.1', 9999)).toBe('secret 127.0.0.1')
  })

  it('of the loopback does not let a container pose as the host’s loopback', async () => {
    const network = await host.open()
    const villain = await host.container(network)
    const service = await udpSocket(host.netns, '0.0.0.0', 7777)
    const peers: string[] = []
    service.on('message', (_message, peer) => peers.push(peer.address))
    await run(villain.netns, 'sysctl -qw net.ipv4.conf.all.route_localnet=1')
    // 127.0.0.1 itself the kernel would refuse, since the host has it; the rest of 127.0.0.0/8 it would not.
    const [forged, honest] = [
      await udpSocket(villain.netns, '127.0.0.2', 0),
      await udpSocket(villain.netns, villain.ip, 0),
    ]
    forged.send('?', 7777, '10.77.0.1')
    honest.send('?', 7777, '10.77.0.1')
    await eventually(() => peers.includes(villain.ip))
    expect(peers).toEqual([villain.ip])
    for (const socket of [service, forged, honest]) socket.close()
  })

  it('on one address of the host does not answer on another', async () => {
    const outside = await host.neighbour()
    await host.run('ip addr add 192.0.2.9/24 dev up0')
    const network = await host.open()
    const web = await host.container(network, [tcp(8080, { hostIp: '192.0.2.9' })])
    await host.serve(web.netns, 'web', 80)
    expect(await fetchTcp(outside, '192.0.2.9', 8080)).toBe('web 192.0.2.2')
    expect(await fetchTcp(outside, '192.0.2.1', 8080, 1)).toBe('')
  })

  it('is the only way in: what is not published cannot be reached by routing to the container', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const other = await host.open({
      name: 'two',
      bridge: 'hf1',
      stateDir: `${host.stateDir}/two`,
      subnets: [{ subnet: '10.77.1.0/24' }],
    })
    const web = await host.container(network, [tcp(8080)])
    const stranger = await host.container(other)
    await host.serve(web.netns, 'web', 80)
    expect(await fetchTcp(outside, web.ip, 80, 1)).toBe('')
    expect(await fetchTcp(stranger.netns, web.ip, 80, 1)).toBe('')
    expect(await fetchTcp(stranger.netns, '10.77.1.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(host.netns, web.ip, 80)).toBe('web 10.77.0.1')
  })
})

describe.skipIf(process.getuid?.() !== 0)('a host port', () => {
  it('0 means a free one of the host’s range, the same in both families', async () => {
    const network = await host.open()
    inNetns(host.netns, () => writeSysctl('ipv4/ip_local_port_range', '40000 40004'))
    const ports = []
    for (let index = 0; index < 5; index++)
      ports.push((await host.container(network, [tcp(0)])).attachment.ports)
    expect(ports.map(([port]) => port!.hostPort).sort((a, b) => a - b)).toEqual([
      40000, 40001, 40002, 40003, 40004,
    ])
    for (const [v4, v6] of ports) expect(v6!.hostPort).toBe(v4!.hostPort)
    await expect(host.container(network, [tcp(0)])).rejects.toMatchObject({ code: 'HF_PORT_IN_USE' })
  })

  it('of a range is the first free one', async () => {
    const network = await host.open()
    const ports = []
    for (let index = 0; index < 3; index++) {
      ports.push(
        (await host.container(network, [tcp(8000, { hostPortEnd: 8002 })])).attachment.ports[0]!.hostPort,
      )
    }
    expect(ports).toEqual([8000, 8001, 8002])
    await expect(host.container(network, [tcp(8000, { hostPortEnd: 8002 })])).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: 'every tcp port from 8000 to 8002 is in use',
    })
  })

  it('that a process listens on is refused, with its name', async () => {
    const network = await host.open()
    await host.serve(host.netns, 'mine', 8080)
    await expect(host.container(network, [tcp(8080)])).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      details: { port: 8080, holder: { pid: process.pid } },
    })
    await host.serve(host.netns, 'mine', 5353, 'udp')
    await expect(
      host.container(network, [{ protocol: 'udp', containerPort: 53, hostPort: 5353 }]),
    ).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      details: { port: 5353, holder: { pid: process.pid } },
    })
    expect(await host.run('nft list ruleset')).not.toContain('8080')
  })

  it('of another container is refused, with its id; of tcp and udp are two', async () => {
    const network = await host.open()
    await host.container(network, [tcp(8080)], 'first')
    await expect(host.container(network, [tcp(8080)])).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: 'port 0.0.0.0:8080/tcp is in use by container first',
      details: { holder: { container: 'first' } },
    })
    await host.container(network, [{ protocol: 'udp', containerPort: 80, hostPort: 8080 }])
  })

  it('of another instance on this host is refused', async () => {
    const network = await host.open()
    const other = await host.open({
      name: 'other',
      bridge: 'ot0',
      table: 'other',
      stateDir: `${host.stateDir}/other`,
      subnets: [{ subnet: '10.78.0.0/24' }],
    })
    const web = await host.container(network, [tcp(8080)])
    await host.serve(web.netns, 'web', 80)
    await expect(host.container(other, [tcp(8080)])).rejects.toMatchObject({ code: 'HF_PORT_IN_USE' })
    const second = await host.container(other, [tcp(8081)])
    await host.serve(second.netns, 'second', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toMatch(/^web/)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8081)).toMatch(/^second/)
    await other.detach(second.attachment)
    await other.remove()
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toMatch(/^web/)
  })

  it('cannot be bound by anybody else while it is published, and can afterwards', async () => {
    const network = await host.open()
    const web = await host.container(network, [tcp(8080)])
    const bind = () =>
      openSocketIn(host.netns, {
        family: 'inet',
        type: 'stream',
        bind: { address: '0.0.0.0', port: 8080 },
        reuse: true,
        listen: 1,
      })
    expect(bind).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
    await network.detach(web.attachment)
    closeSync(bind())
  })

  it('can be had while connections of an earlier server are in TIME-WAIT', async () => {
    const network = await host.open()
    const server = await listenOnce(host.netns, 8080)
    // Whose end closes first keeps the port in TIME-WAIT: the client's input is open for longer than the server.
    expect(await host.run('sleep 0.5 | busybox nc 127.0.0.1 8080')).toBe('bye')
    await server.closed
    expect(await host.run(`ss -Htan state time-wait 'sport = :8080'`)).toContain('127.0.0.1:8080')
    const web = await host.container(network, [tcp(8080)])
    expect(web.attachment.ports).toHaveLength(2)
  })

  it('on an address that the host does not have is refused', async () => {
    const network = await host.open()
    await expect(host.container(network, [tcp(8080, { hostIp: '203.0.113.7' })])).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
  })

  it('that the kernel cannot translate is marked for a relay: ::1, and IPv6 in front of an IPv4 network', async () => {
    const network = await host.open()
    const a = await host.container(network, [tcp(8080, { hostIp: '::1' })])
    expect(a.attachment.ports).toEqual([
      { protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '::1', relay: true },
    ])
    const v4 = await host.open({
      name: 'v4',
      bridge: 'hf4',
      stateDir: `${host.stateDir}/v4`,
      subnets: [{ subnet: '10.79.0.0/24' }],
    })
    const b = await host.container(v4, [tcp(8081, { hostIp: '::' }), tcp(8082)])
    expect(b.attachment.ports.map(({ hostIp, relay }) => [hostIp, relay])).toEqual([
      ['::', true],
      ['0.0.0.0', undefined],
    ])
  })
})

describe.skipIf(process.getuid?.() !== 0)('published ports of a network whose ports are relayed', () => {
  it('bind both families, and leave to the relay what the kernel cannot translate', async () => {
    const network = await host.open({ relays: true })
    const web = await host.container(network, [tcp(8080), { ...tcp(8081), protocol: 'sctp' }])
    expect(web.attachment.ports.map(({ hostPort, hostIp, relay }) => [hostPort, hostIp, relay])).toEqual([
      [8080, '0.0.0.0', undefined],
      [8080, '::', true],
      [8081, '0.0.0.0', undefined],
      [8081, '::', undefined],
    ])
    await host.serve(web.netns, 'web6', 80, 'tcp', '::')
    expect(await fetchTcp(host.netns, 'fd00:77::1', 8080)).toMatch(/^web6/)
    const v4 = await host.open({
      name: 'v4',
      bridge: 'hf4',
      stateDir: `${host.stateDir}/v4`,
      subnets: [{ subnet: '10.79.0.0/24' }],
      relays: true,
    })
    const other = await host.container(v4, [tcp(8082), { ...tcp(8083), protocol: 'sctp' }])
    expect(other.attachment.ports.map(({ hostPort, hostIp, relay }) => [hostPort, hostIp, relay])).toEqual([
      [8082, '0.0.0.0', undefined],
      [8082, '::', true],
      [8083, '0.0.0.0', undefined],
    ])
  })

  it('name the container whose relay has the port, and are free again after it', async () => {
    let network = await host.open({ relays: true })
    const web = await host.container(network, [tcp(8080, { hostIp: '::1' })], 'web')
    const again = () => host.container(network, [tcp(8080, { hostIp: '::1' })], 'second')
    await expect(again()).rejects.toMatchObject({
      code: 'HF_PORT_IN_USE',
      message: 'port [::1]:8080/tcp is in use by container web',
    })
    await network.close()
    network = await host.open({ relays: true })
    await network.restore([web.attachment])
    await expect(again()).rejects.toMatchObject({ code: 'HF_PORT_IN_USE' })
    await network.detach(web.attachment)
    await again()
  })
})

describe.skipIf(process.getuid?.() !== 0)('published ports', () => {
  it('come back when somebody flushed the host’s whole ruleset', async () => {
    const network = await host.open()
    const web = await host.container(network, [tcp(8080)])
    await host.serve(web.netns, 'web', 80)
    await host.run('nft flush ruleset')
    await host.container(network, [tcp(8081)])
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toMatch(/^web/)
    await host.run('nft flush ruleset')
    await network.detach(web.attachment)
  })
})

async function listenOnce(netns: number, port: number): Promise<{ closed: Promise<unknown> }> {
  const { createServer } = await import('node:net')
  const { once } = await import('node:events')
  const fd = openSocketIn(netns, {
    family: 'inet',
    type: 'stream',
    bind: { address: '0.0.0.0', port },
    listen: 1,
    reuse: true,
  })
  const server = createServer((socket) => {
    socket.end('bye')
    server.close()
  })
  server.listen({ fd })
  await once(server, 'listening')
  return { closed: once(server, 'close') }
}
