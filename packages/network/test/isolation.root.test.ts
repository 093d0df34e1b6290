import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BridgeNetwork, BridgeOptions, PortMapping } from '../src/index.ts'
import { fetchTcp, run, TestHost } from './network-fixture.ts'

let host: TestHost

beforeEach(async () => {
  host = await TestHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

function open(number: number, change: Partial<BridgeOptions> = {}): Promise<BridgeNetwork> {
  return host.open({
    name: `net${number}`,
    bridge: `hf${number}`,
    stateDir: `${host.stateDir}/${number}`,
    subnets: [{ subnet: `10.77.${number}.0/24` }, { subnet: `fd00:77:${number}::/64` }],
    ...change,
  })
}

const tcp = (hostPort: number, change: Partial<PortMapping> = {}): PortMapping => ({
  protocol: 'tcp',
  containerPort: 80,
  hostPort,
  ...change,
})

describe.skipIf(process.getuid?.() !== 0)('networks that are not isolated', () => {
  it('reach each other with their own addresses; one that is isolated keeps to itself', async () => {
    const outside = await host.neighbour()
    const [a, b, c] = [
      await host.container(await open(1, { isolated: false })),
      await host.container(await open(2, { isolated: false })),
      await host.container(await open(3)),
    ]
    for (const { netns } of [a, b, c]) {
      await host.serve(netns, 'here', 80)
      await host.serve(netns, 'here', 80, 'tcp', '::')
    }
    await host.serve(outside, 'outside', 80)
    expect(await fetchTcp(a.netns, b.ip, 80)).toBe(`here ${a.ip}`)
    expect(await fetchTcp(b.netns, a.ip6, 80)).toBe(`here ${b.ip6}`)
    expect(await fetchTcp(a.netns, c.ip, 80, 1)).toBe('')
    expect(await fetchTcp(c.netns, a.ip, 80, 1)).toBe('')
    // Elsewhere they have the host's address all the same.
    expect(await fetchTcp(a.netns, '192.0.2.2', 80)).toBe('outside 192.0.2.1')
  })

  it('become isolated when they are opened so', async () => {
    const a = await host.container(await open(1, { isolated: false }))
    const network = await open(2, { isolated: false })
    const b = await host.container(network)
    await host.serve(b.netns, 'b', 80)
    expect(await fetchTcp(a.netns, b.ip, 80)).toBe(`b ${a.ip}`)
    await network.close()
    await open(2)
    expect(await fetchTcp(a.netns, b.ip, 80, 1)).toBe('')
  })
})

describe.skipIf(process.getuid?.() !== 0)('an internal network', () => {
  it('connects its containers and the host, and has no way out, not even past its rules’ back', async () => {
    const outside = await host.neighbour()
    const network = await open(1, { internal: true })
    const other = await host.container(await open(2), [tcp(8080)])
    const [a, b] = [await host.container(network), await host.container(network)]
    await host.serve(outside, 'outside', 80)
    await host.serve(other.netns, 'other', 80)
    await host.serve(b.netns, 'b', 80)
    await host.serve(host.netns, 'host', 81)
    expect(await fetchTcp(a.netns, b.ip, 80)).toBe(`b ${a.ip}`)
    expect(await fetchTcp(host.netns, b.ip, 80)).toBe('b 10.77.1.1')
    expect(await fetchTcp(a.netns, '10.77.1.1', 81)).toBe(`host ${a.ip}`)
    expect(await run(a.netns, 'ip route show default; ip -6 route show default')).toBe('')
    // A container that may set routes gives itself one.
    await run(a.netns, 'ip route add default via 10.77.1.1; ip -6 route add default via fd00:77:1::1')
    expect(await fetchTcp(a.netns, '192.0.2.2', 80, 1)).toBe('')
    expect(await fetchTcp(a.netns, '192.0.2.1', 81, 1)).toBe('')
    expect(await fetchTcp(a.netns, '192.0.2.1', 8080, 1)).toBe('')
    expect(await fetchTcp(a.netns, '10.77.1.1', 8080, 1)).toBe('') // a port of another network's
    expect(await fetchTcp(a.netns, 'fd00:2::1', 81, 1)).toBe('')
    expect(await fetchTcp(a.netns, other.ip, 80, 1)).toBe('')
  })

  it('publishes nothing, and leaves the host’s forwarding as it is', async () => {
    await host.run('sysctl -qw net.ipv4.ip_forward=0') // a new namespace has the machine's
    const network = await open(1, { internal: true })
    await expect(host.container(network, [tcp(8080)])).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
      message: 'ports: an internal network publishes no ports',
    })
    expect(await host.run('cat /proc/sys/net/ipv4/ip_forward')).toBe('0')
    await expect(open(2, { internal: true, isolated: false })).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
  })

  it('leaves nothing in the table when it is removed beside another', async () => {
    await open(2)
    const before = await host.run('nft list table inet hft')
    const network = await open(1, { internal: true })
    await network.remove()
    expect(await host.run('nft list table inet hft')).toBe(before)
  })
})

describe.skipIf(process.getuid?.() !== 0)('two ranges of ports', () => {
  it('are published in step', async () => {
    const network = await open(1)
    const web = await host.container(network, [
      tcp(8000, { hostPortEnd: 8002, containerPort: 80, containerPortEnd: 82, hostIp: '0.0.0.0' }),
    ])
    await host.serve(web.netns, 'last', 82)
    expect(web.attachment.ports.map(({ containerPort, hostPort }) => [containerPort, hostPort])).toEqual([
      [80, 8000],
      [81, 8001],
      [82, 8002],
    ])
    expect(await fetchTcp(host.netns, '127.0.0.1', 8002)).toBe('last 10.77.1.1')
    await expect(
      host.container(network, [tcp(9000, { hostPortEnd: 9003, containerPortEnd: 82 })]),
    ).rejects.toMatchObject({ code: 'HF_BAD_REQUEST', details: { field: 'ports[0].hostPortEnd' } })
  })
})
