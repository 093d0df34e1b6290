import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { createNamespace } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { chooseSubnet } from '../src/index.ts'
import { attempt, run, TestHost, udpSocket } from './network-fixture.ts'

let host: TestHost

beforeEach(async () => {
  host = await TestHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

interface LinkJson {
  ifname: string
  address: string
  flags: string[]
  master?: string
  ifalias?: string
  addr_info: { local: string; prefixlen: number; scope: string; tentative?: boolean }[]
}

async function links(netns: number): Promise<LinkJson[]> {
  return JSON.parse(await run(netns, 'ip -j addr')) as LinkJson[]
}

describe.skipIf(process.getuid?.() !== 0)('attach', () => {
  it('gives a container an address of each family, a route, a MAC made from the address, and the loopback', async () => {
    const network = await host.open()
    const { netns, attachment } = await host.container(network)
    expect(attachment.addresses).toEqual([
      { address: '10.77.0.2', prefixLength: 24, gateway: '10.77.0.1' },
      { address: 'fd00:77::2', prefixLength: 64, gateway: 'fd00:77::1' },
    ])
    const inside = await links(netns)
    const eth0 = inside.find(({ ifname }) => ifname === 'eth0')!
    expect(eth0.address).toBe('0a:68:0a:4d:00:02')
    expect(
      eth0.addr_info
        .filter(({ scope }) => scope === 'global')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    ).toEqual(['10.77.0.2/24', 'fd00:77::2/64'])
    expect(eth0.addr_info.some(({ tentative }) => tentative)).toBe(false)
    expect(inside.find(({ ifname }) => ifname === 'lo')!.flags).toContain('UP')
    expect(await run(netns, 'ip route show default; ip -6 route show default')).toMatch(
      /via 10\.77\.0\.1[^]*via fd00:77::1/,
    )
    expect(await run(netns, 'cat /proc/sys/net/ipv6/conf/eth0/accept_ra')).toBe('0')
  })

  it('leaves no IPv6 address in a container of an IPv4 network', async () => {
    const network = await host.open({ subnets: [{ subnet: '10.77.0.0/24' }] })
    const { netns } = await host.container(network)
    const eth0 = (await links(netns)).find(({ ifname }) => ifname === 'eth0')!
    expect(eth0.addr_info.map(({ local }) => local)).toEqual(['10.77.0.2'])
  })

  it('lets containers, host and the machine next door reach each other, from the first packet on', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const [a, b] = [await host.container(network), await host.container(network)]
    await run(a.netns, `busybox ping -c1 -W1 ${b.ip} && busybox ping6 -c1 -W1 ${b.ip6}`)
    await run(a.netns, 'busybox ping -c1 -W1 10.77.0.1 && busybox ping6 -c1 -W1 fd00:77::1')
    await host.run(`busybox ping -c1 -W1 ${a.ip} && busybox ping6 -c1 -W1 ${a.ip6}`)
    await host.serve(outside, 'outside', 80)
    expect(await run(a.netns, 'busybox nc -w 2 192.0.2.2 80 </dev/null')).toBe('outside 192.0.2.1')
  })

  it('lets the very first packet through, whichever way it goes', async () => {
    const network = await host.open()
    for (let round = 0; round < 20; round++) {
      const a = await host.container(network)
      const [inside, outside] = [
        await udpSocket(a.netns, '0.0.0.0', 5000),
        await udpSocket(host.netns, '0.0.0.0', 0),
      ]
      const arrived = Promise.all(
        [inside, outside].map((socket) => once(socket, 'message', { signal: AbortSignal.timeout(900) })),
      )
      inside.send('out', outside.address().port, '10.77.0.1')
      outside.send('in', 5000, a.ip)
      await arrived
      for (const socket of [inside, outside]) socket.close()
      await network.detach(a.attachment)
    }
  })

  it('keeps the source address where masquerading is off', async () => {
    const outside = await host.neighbour()
    const network = await host.open({ ipMasq: false })
    const a = await host.container(network)
    await host.serve(outside, 'outside', 80)
    expect(await run(a.netns, 'busybox nc -w 2 192.0.2.2 80 </dev/null')).toBe(`outside ${a.ip}`)
  })

  it('keeps a container from sending with a source that is not routed back to it', async () => {
    const outside = await host.neighbour()
    const network = await host.open()
    const a = await host.container(network)
    await run(a.netns, 'ip addr add 198.51.100.7/32 dev lo')
    const [forged, honest] = [await udpSocket(a.netns, '198.51.100.7', 0), await udpSocket(a.netns, a.ip, 0)]
    const target = await udpSocket(outside, '0.0.0.0', 7777)
    const peers: string[] = []
    target.on('message', (_message, peer) => peers.push(peer.address))
    const send = () => [forged, honest].forEach((socket) => socket.send('?', 7777, '192.0.2.2'))
    send()
    await eventually(() => peers.length > 0)
    expect(peers).toEqual(['192.0.2.1'])
    await host.run(`ip route add 198.51.100.7 via ${a.ip}`) // a container that is a router for others
    send()
    await eventually(() => peers.includes('198.51.100.7'))
    for (const socket of [forged, honest, target]) socket.close()
  })

  it('takes wishes: address, MAC, interface name, mtu', async () => {
    const network = await host.open({ mtu: 1400 })
    const netns = host.namespace()
    const attachment = await network.attach({
      id: 'wishes',
      netns,
      interface: 'net7',
      addresses: ['10.77.0.99', 'fd00:77::99'],
      mac: '02:11:22:33:44:55',
    })
    expect(attachment.mac).toBe('02:11:22:33:44:55')
    expect(await run(netns, 'ip -br addr show net7; ip link show net7')).toMatch(
      /10\.77\.0\.99\/24 fd00:77::99\/64[^]*mtu 1400[^]*02:11:22:33:44:55/,
    )
  })

  it('tells neighbours at once when an address has moved to another MAC', async () => {
    const network = await host.open()
    const a = await host.container(network)
    const wish = { interface: 'eth0', addresses: ['10.77.0.50', 'fd00:77::50'] }
    for (const mac of ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:00:03']) {
      const b = await network.attach({ ...wish, id: mac, netns: host.namespace(), mac })
      await run(a.netns, 'busybox ping -c1 -W1 10.77.0.50 && busybox ping6 -c1 -W1 fd00:77::50')
      await host.run('busybox ping -c1 -W1 10.77.0.50 && busybox ping6 -c1 -W1 fd00:77::50')
      await network.detach(b, { wait: true })
    }
  })

  it('that fails leaves nothing behind', async () => {
    const network = await host.open()
    const { netns } = await host.container(network)
    const before = await host.run('ip -o link | wc -l; nft list ruleset | sha256sum')
    await expect(
      network.attach({
        id: 'again',
        netns,
        interface: 'eth0',
        ports: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }],
      }),
    ).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await host.run('ip -o link | wc -l; nft list ruleset | sha256sum')).toBe(before)
    const next = await network.attach({
      id: 'next',
      netns: host.namespace(),
      interface: 'eth0',
      ports: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }],
    })
    expect(next.addresses[0]!.address).toBe('10.77.0.4') // 10.77.0.3 was used, if only for a moment
  })

  it('refuses a bridge name that is somebody else’s, and says whose', async () => {
    await host.run('ip link add hf0 type bridge')
    await expect(host.open()).rejects.toMatchObject({
      code: 'HF_NETWORK_FAILED',
      message: expect.stringContaining('hf0') as string,
    })
    expect(await host.run('ip -o link show hf0; nft list ruleset')).toMatch(
      /^\d+: hf0: <BROADCAST,MULTICAST> .*$/,
    )
  })

  it('refuses a table that is somebody else’s, and leaves it alone', async () => {
    await host.run(
      `nft 'add table inet hft; add chain inet hft forward { type filter hook forward priority 0; policy drop; }'`,
    )
    const before = await host.run('nft list ruleset')
    await expect(host.open()).rejects.toMatchObject({ code: 'HF_NETWORK_FAILED', details: { table: 'hft' } })
    expect(await host.run('nft list ruleset')).toBe(before)
    expect(await host.run('ip -o link')).not.toContain('hf0')
  })

  it('refuses a subnet that another link has, and says which', async () => {
    await host.run('ip link add br0 type bridge; ip addr add 10.77.0.9/16 dev br0')
    await expect(host.open()).rejects.toMatchObject({
      message: 'subnet 10.77.0.0/24 is in use by link br0',
      details: { link: 'br0' },
    })
    expect(await host.run('ip -o link; nft list ruleset')).not.toContain('hf')
  })

  it('takes up a bridge that was made and not yet marked when its maker was killed', async () => {
    await host.run('ip link add hf0 address 0a:68:0a:4d:00:01 type bridge')
    const network = await host.open()
    expect(await host.run('ip link show hf0')).toContain('alias holdfast network hft/test')
    await host.container(network)
  })

  it('shares its network with another process that opens it at the same time', async () => {
    const [a, b] = await Promise.all([host.open(), host.open()])
    const containers = await Promise.all([a, b, a, b].map((network) => host.container(network)))
    expect(new Set(containers.map(({ ip }) => ip)).size).toBe(4)
    await run(containers[0]!.netns, `busybox ping -c1 -W1 ${containers[1]!.ip}`)
  })

  it('makes the bridge again when somebody deleted it, with everyone who was on it', async () => {
    const network = await host.open()
    const earlier = await host.container(network)
    await host.run('ip link delete hf0')
    const a = await host.container(network)
    await host.run(`busybox ping -c1 -W1 ${a.ip}`)
    await run(a.netns, `busybox ping -c1 -W1 ${earlier.ip}`)
  })

  it('gives fifty containers at once an address each', async () => {
    const network = await host.open()
    const containers = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 0 }], `many${index}`),
      ),
    )
    expect(new Set(containers.map(({ ip }) => ip)).size).toBe(50)
    expect(new Set(containers.map(({ attachment }) => attachment.ports[0]!.hostPort)).size).toBe(50)
    expect(await run(containers[49]!.netns, `busybox ping -c1 -W1 ${containers[0]!.ip}`)).toContain(
      '1 packets received',
    )
    await Promise.all(containers.map(({ attachment }) => network.detach(attachment, { wait: true })))
    expect(await host.run('ip -o link | grep -c "hf.*veth\\|@" || true')).toBe('0')
  })
})

describe.skipIf(process.getuid?.() !== 0)('detach', () => {
  it('cuts the container off at once and removes the link in its own time', async () => {
    const network = await host.open()
    const a = await host.container(network)
    await network.detach(a.attachment)
    expect((await attempt(a.netns, 'busybox ping -c1 -W1 10.77.0.1')).status).not.toBe(0)
    await eventually(async () => !(await host.run('ip -o link')).includes(a.attachment.hostInterface))
  })

  it('is complete when the network is closed: a program may end then', async () => {
    const network = await host.open()
    const a = await host.container(network)
    await network.detach(a.attachment)
    await network.close()
    expect(await host.run('ip -o link')).not.toContain(a.attachment.hostInterface)
  })

  it('that waits frees link and address before it returns, and may be repeated', async () => {
    const network = await host.open()
    const a = await host.container(network)
    await network.detach(a.attachment, { wait: true })
    expect(await host.run('ip -o link')).not.toContain(a.attachment.hostInterface)
    await network.detach(a.attachment, { wait: true })
    await network.detach(a.attachment)
    const again = await network.attach({
      id: 'again',
      netns: host.namespace(),
      interface: 'eth0',
      addresses: [a.ip],
    })
    expect(again.addresses[0]!.address).toBe(a.ip)
  })

  it('works when the namespace is gone already', async () => {
    const network = await host.open()
    const netns = createNamespace('net')
    const attachment = await network.attach({ id: 'gone', netns, interface: 'eth0' })
    closeSync(netns)
    await eventually(async () => !(await host.run('ip -o link')).includes(attachment.hostInterface))
    await network.detach(attachment, { wait: true })
  })

  it('lets an address that is asked for again be had at once', async () => {
    const network = await host.open()
    const a = await host.container(network)
    await network.detach(a.attachment)
    const again = await network.attach({
      id: 'again',
      netns: host.namespace(),
      interface: 'eth0',
      addresses: [a.ip],
    })
    expect(again.addresses[0]!.address).toBe(a.ip)
  })
})

describe.skipIf(process.getuid?.() !== 0)('the only address of a network', () => {
  it('is had by who comes while its owner leaves', async () => {
    const network = await host.open({ subnets: [{ subnet: '10.77.0.0/30' }] })
    let { attachment } = await host.container(network, [
      { protocol: 'tcp', containerPort: 80, hostPort: 8080 },
    ])
    for (const wait of [false, true]) {
      const leaving = network.detach(attachment, { wait })
      const next = await host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8081 }])
      await leaving
      expect(next.ip).toBe('10.77.0.2')
      await network.unpublish(next.attachment, next.attachment.ports)
      ;({ attachment } = next)
    }
    await expect(host.container(network)).rejects.toMatchObject({ code: 'HF_ADDRESS_POOL_EXHAUSTED' })
  })
})

describe.skipIf(process.getuid?.() !== 0)('chooseSubnet', () => {
  it('skips what the host routes or has an address in', async () => {
    await host.run(
      'ip link add br0 type bridge; ip link set br0 up; ip addr add 10.213.0.9/24 dev br0; ip route add 10.213.1.128/25 dev br0',
    )
    expect(await chooseSubnet('10.213.0.0/16', 24, host.netns)).toBe('10.213.2.0/24')
    expect(await chooseSubnet('fd00::/16', 64, host.netns)).toBe('fd00::/64')
    await expect(chooseSubnet('10.213.0.0/23', 24, host.netns)).rejects.toMatchObject({
      code: 'HF_ADDRESS_POOL_EXHAUSTED',
    })
    await expect(chooseSubnet('10.213.0.0/16', 8, host.netns)).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
  })

  it('gives everybody who asks at once a subnet of his own', async () => {
    const asked = Array.from({ length: 10 }, () => chooseSubnet('10.99.0.0/16', 24, host.netns))
    expect(new Set(await Promise.all(asked)).size).toBe(10)
    const elsewhere = host.namespace()
    expect(await chooseSubnet('10.99.0.0/16', 24, elsewhere)).toBe('10.99.0.0/24')
    await host.open({ subnets: [{ subnet: '10.99.0.0/24' }] })
    expect(await chooseSubnet('10.99.0.0/16', 24, host.netns)).toBe('10.99.10.0/24')
  })
})

describe.skipIf(process.getuid?.() !== 0)('remove', () => {
  it('is refused while something is attached, and then takes bridge and rules away', async () => {
    const network = await host.open()
    const a = await host.container(network)
    await expect(network.remove()).rejects.toMatchObject({ code: 'HF_NETWORK_FAILED' })
    await network.detach(a.attachment)
    await network.remove()
    expect(await host.run('ip -o link; nft list ruleset')).not.toMatch(/hf/)
  })

  it('leaves the rules of another network in the same table alone', async () => {
    const first = await host.open()
    const second = await host.open({
      name: 'two',
      bridge: 'hf1',
      stateDir: `${host.stateDir}/two`,
      subnets: [{ subnet: '10.78.0.0/24' }],
    })
    await second.remove()
    const rules = await host.run('nft list ruleset')
    expect(rules).toContain('source-hf0')
    expect(rules).not.toContain('hf1')
    expect(first.options.bridge).toBe('hf0')
  })
})
