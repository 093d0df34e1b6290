import type { Socket } from 'node:dgram'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inNetns, writeSysctl } from '../src/netns.ts'
import {
  openResolver,
  type Attachment,
  type BridgeNetwork,
  type EgressPolicy,
  type NetworkEvent,
  type Refusal,
} from '../src/index.ts'
import { fetchTcp, fetchUdp, run, TestHost, udpSocket, type TestContainer } from './network-fixture.ts'
import { reply, UpstreamServer } from './upstream-server.ts'

let host: TestHost
let outside: number

beforeEach(async () => {
  host = await TestHost.create()
  outside = await host.neighbour()
  for (const port of [80, 443]) {
    await host.serve(outside, 'outside', port)
    await host.serve(outside, 'outside', port, 'tcp', '::')
  }
  await run(outside, 'ip addr add 192.0.2.3/24 dev up0; ip -6 route add fd00:77::/64 via fd00:2::1')
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

async function contained(network: BridgeNetwork, egress?: EgressPolicy, id = 'c'): Promise<TestContainer> {
  const netns = host.namespace()
  const attachment = await network.attach({ id, netns, interface: 'eth0', ...(egress && { egress }) })
  return { netns, attachment, ip: attachment.addresses[0]!.address, ip6: attachment.addresses[1]!.address }
}

/** Whether a TCP connection comes about; quick where it is refused. */
async function reaches(netns: number, address: string, port = 80): Promise<boolean> {
  return (await fetchTcp(netns, address, port)) !== ''
}

/** As not `reaches`, and said so: where what is sent were dropped in silence it would wait for that long. */
async function refused(netns: number, address: string, port = 80): Promise<boolean> {
  const patience = 30
  const started = performance.now()
  const answer = await fetchTcp(netns, address, port, patience)
  return answer === '' && performance.now() - started < patience * 900
}

/** Resolves when the datagram is on its way. */
function sent(socket: Socket, message: string): Promise<void> {
  return new Promise((resolve, reject) =>
    socket.send(message, 53, '192.0.2.2', (error) => (error ? reject(error) : resolve())),
  )
}

function refusals(network: BridgeNetwork): Refusal[] {
  const list: Refusal[] = []
  network.watch((event: NetworkEvent) => {
    if (event.type === 'refused') list.push(event)
  })
  return list
}

const sets = () => host.run('nft list table inet hft | grep -A3 "set policy-"; nft list table bridge hft')

describe.skipIf(process.getuid?.() !== 0)('a container’s deny list', () => {
  it('refuses addresses, networks, protocols and ports, at once, in both families, and nothing else', async () => {
    const network = await host.open()
    const list = refusals(network)
    const a = await contained(network, {
      deny: [
        { to: '192.0.2.3' },
        { to: '192.0.2.0/24', protocol: 'tcp', port: 443 },
        { to: 'fd00:2::/64', port: [400, 500] },
      ],
    })
    const b = await contained(network, undefined, 'b')
    expect(await refused(a.netns, '192.0.2.3')).toBe(true)
    expect(await refused(a.netns, '192.0.2.2', 443)).toBe(true)
    expect(await refused(a.netns, 'fd00:2::2', 443)).toBe(true)
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(a.netns, 'fd00:2::2')).toBe(true)
    expect(await reaches(b.netns, '192.0.2.3')).toBe(true)
    expect(await reaches(b.netns, '192.0.2.2', 443)).toBe(true)
    await eventually(() => list.length >= 3)
    expect(list.slice(0, 3)).toEqual([
      {
        type: 'refused',
        id: 'c',
        interface: 'eth0',
        rule: 'deny 192.0.2.3',
        protocol: 'tcp',
        source: a.ip,
        destination: '192.0.2.3',
        port: 80,
      },
      expect.objectContaining({ rule: 'deny 192.0.2.0/24 tcp 443', destination: '192.0.2.2', port: 443 }),
      expect.objectContaining({ rule: 'deny fd00:2::/64 port 400-500', source: a.ip6, port: 443 }),
    ])
  })

  it('ends connections that were there before, and only those', async () => {
    const network = await host.open()
    const a = await contained(network)
    const [client, other] = [await udpSocket(a.netns, '0.0.0.0', 0), await udpSocket(a.netns, '0.0.0.0', 0)]
    await host.serve(outside, 'dns', 53, 'udp')
    await host.serve(outside, 'dns', 54, 'udp')
    expect(await fetchUdp(a.netns, '192.0.2.2', 53, client)).toMatch(/^dns/)
    expect(await fetchUdp(a.netns, '192.0.2.2', 54, other)).toMatch(/^dns/)
    const flow = (port: number) => host.run(`conntrack -L -p udp --dport ${port} -o id 2>/dev/null`)
    const before = await flow(54)
    expect(await network.deny(a.attachment, [{ protocol: 'udp', port: 53 }])).toEqual({
      deny: [{ protocol: 'udp', port: 53 }],
    })
    expect(await fetchUdp(a.netns, '192.0.2.2', 53, client)).toBe('')
    expect(await fetchUdp(a.netns, '192.0.2.2', 54, other)).toMatch(/^dns/)
    expect(/id=\d+/.exec(await flow(54))![0]).toBe(/id=\d+/.exec(before)![0])
    await network.revoke(a.attachment, [{ protocol: 'udp', port: 53 }])
    expect(await fetchUdp(a.netns, '192.0.2.2', 53, client)).toMatch(/^dns/)
    client.close()
    other.close()
  })
})

describe.skipIf(process.getuid?.() !== 0)('a container’s allow list', () => {
  it('refuses all else, the host too, but not its neighbours and what came in', async () => {
    const network = await host.open()
    const list = refusals(network)
    const a = await contained(network, { allow: [{ to: '192.0.2.2', port: 443 }, { protocol: 'icmp' }] })
    const b = await contained(network, undefined, 'b')
    await host.serve(host.netns, 'host', 80)
    await host.serve(host.netns, 'host', 80, 'tcp', '::')
    await host.serve(b.netns, 'b', 80)
    await host.serve(a.netns, 'a', 80)
    await network.publish(a.attachment, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }])
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(true)
    expect(await reaches(a.netns, b.ip)).toBe(true)
    expect(await fetchTcp(outside, '192.0.2.1', 8080)).toBe('a 192.0.2.2')
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('a 10.77.0.1')
    await run(a.netns, 'busybox ping -c1 -W1 192.0.2.2; busybox ping6 -c1 -W1 fd00:2::2')
    for (const address of ['192.0.2.2', '192.0.2.1', '10.77.0.1', 'fd00:2::2', 'fd00:77::1'])
      expect(await reaches(a.netns, address)).toBe(false)
    // The host by the link-local address of its bridge, from one's own.
    const lladdr = /inet6 (fe80\S+)\//.exec(await host.run('ip addr show hf0'))
    if (lladdr) expect(await reaches(a.netns, `${lladdr[1]}%eth0`)).toBe(false)
    await eventually(() => list.some(({ rule }) => rule === 'nothing allows it'))
  })

  it('may be empty, may grow, and is gone with the policy', async () => {
    const network = await host.open()
    const a = await contained(network, { allow: [] })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
    await network.allow(a.attachment, [{ to: '192.0.2.2', protocol: 'tcp', port: 80 }])
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(false)
    // Overlapping rules, which the kernel's sets would refuse as they are.
    await network.allow(a.attachment, [
      { to: '192.0.2.0/24', protocol: 'tcp', port: [80, 500] },
      { to: '192.0.2.0/28' },
    ])
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(true)
    await network.revoke(a.attachment, [
      { to: '192.0.2.0/24', protocol: 'tcp', port: [80, 500] },
      { to: '192.0.2.0/28' },
    ])
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(false)
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    await network.setPolicy(a.attachment, undefined)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(true)
  })

  it('cannot be dodged with a neighbour’s address or a second one of one’s own', async () => {
    const network = await host.open()
    const a = await contained(network, { allow: [] })
    const b = await contained(network, undefined, 'b')
    await run(a.netns, `ip addr add 10.77.0.99/24 dev eth0; ip addr add ${b.ip}/24 dev eth0`)
    const heard: string[] = []
    const server = await udpSocket(outside, '0.0.0.0', 53)
    server.on('message', (message, peer) => heard.push(`${String(message)} from ${peer.address}`))
    for (const address of ['10.77.0.99', b.ip]) {
      const socket = await udpSocket(a.netns, address, 0)
      for (let count = 0; count < 3; count++) await sent(socket, 'forged')
      socket.close()
    }
    const honest = await udpSocket(b.netns, b.ip, 0)
    await sent(honest, 'honest')
    await eventually(() => heard.length > 0)
    expect(heard).toEqual(['honest from 192.0.2.1'])
    honest.close()
    server.close()
  })

  it('holds where bridged packets pass the host’s rules', async () => {
    const network = await host.open()
    inNetns(host.netns, () => writeSysctl('bridge/bridge-nf-call-iptables', '1', true))
    const a = await contained(network, { allow: [] })
    const b = await contained(network, undefined, 'b')
    await host.serve(b.netns, 'b', 80)
    expect(await reaches(a.netns, b.ip)).toBe(true)
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
  })
})

describe.skipIf(process.getuid?.() !== 0)('a network’s policy', () => {
  it('holds for everybody on it, beside each one’s own, and for no other network', async () => {
    const network = await host.open({ egress: { allow: [{ to: '192.0.2.0/24' }], deny: [{ port: 443 }] } })
    const list = refusals(network)
    const other = await host.open({
      name: 'two',
      bridge: 'hf1',
      stateDir: `${host.stateDir}/two`,
      subnets: [{ subnet: '10.77.1.0/24' }, { subnet: 'fd00:78::/64' }],
    })
    const a = await contained(network)
    const b = await contained(network, { deny: [{ to: '192.0.2.2' }] }, 'b')
    const c = await contained(other)
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(false)
    expect(await reaches(a.netns, 'fd00:2::2')).toBe(false)
    expect(await reaches(b.netns, '192.0.2.2')).toBe(false)
    expect(await reaches(b.netns, '192.0.2.3')).toBe(true)
    expect(await reaches(c.netns, '192.0.2.2', 443)).toBe(true)
    await eventually(() => list.length >= 3)
    expect(list.map(({ id, rule }) => [id, rule])).toEqual([
      ['c', 'network: deny port 443'],
      ['c', 'network: nothing allows it'],
      ['b', 'deny 192.0.2.2'],
    ])
    await network.setPolicy('network', undefined)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(true)
  })

  it('goes with the network, with all that belongs to it', async () => {
    const other = await host.open({
      name: 'two',
      bridge: 'hf1',
      stateDir: `${host.stateDir}/two`,
      subnets: [{ subnet: '10.77.1.0/24' }, { subnet: 'fd00:78::/64' }],
    })
    const b = await contained(other, { allow: [{ to: '192.0.2.2' }] }, 'b')
    const before = await host.run('nft list ruleset')
    const network = await host.open({ egress: { allow: [] } })
    const a = await contained(network, { deny: [{ to: '192.0.2.2' }] })
    await network.detach(a.attachment, { wait: true })
    await network.remove()
    expect(await host.run('nft list ruleset')).toBe(before)
    await other.detach(b.attachment, { wait: true })
    await other.remove()
    expect(await host.run('nft list ruleset')).toBe('')
  })
})

describe.skipIf(process.getuid?.() !== 0)('a rule with a DNS name', () => {
  it('lets through what the resolver’s answers say, as long as they say it', async () => {
    const network = await host.open()
    const a = await contained(network, {
      allow: [{ to: 'www.example.org', port: 80 }, { to: '*.cdn.example' }],
    })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
    await network.learn({
      name: 'WWW.example.org.',
      addresses: ['192.0.2.2', 'fd00:2::2', '0.0.0.0'],
      ttl: 60,
    })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(a.netns, 'fd00:2::2')).toBe(true)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(false)
    await network.learn({ name: 'example.org', addresses: ['192.0.2.3'], ttl: 60 })
    await network.learn({ name: 'cdn.example', addresses: ['192.0.2.3'], ttl: 60 })
    expect(await reaches(a.netns, '192.0.2.3')).toBe(false)
    await network.learn({ name: 'a.b.cdn.example', addresses: ['192.0.2.3'], ttl: 60 })
    expect(await reaches(a.netns, '192.0.2.3', 443)).toBe(true)
    expect(await sets()).toMatch(/192\.0\.2\.3 timeout 2m expires/)
    // What outlives a name's element is a rule of its own.
    await network.allow(a.attachment, [{ to: '192.0.2.3' }])
    await network.learn({ name: 'a.b.cdn.example', addresses: ['192.0.2.3'], ttl: 600 })
    expect(await reaches(a.netns, '192.0.2.3')).toBe(true)
    expect(await sets()).not.toMatch(/192\.0\.2\.3 timeout/)
  })

  it('is not written again while it is fresh, and is when it lasts longer', async () => {
    const network = await host.open()
    const a = await contained(network, { allow: [{ to: 'example.org' }] })
    await network.learn({ name: 'example.org', addresses: ['192.0.2.2'], ttl: 60 })
    const expiry = async () => /192\.0\.2\.2 timeout (\S+)/.exec(await sets())?.[1]
    expect(await expiry()).toBe('2m')
    await network.learn({ name: 'example.org', addresses: ['192.0.2.2'], ttl: 50 })
    expect(await expiry()).toBe('2m')
    await network.learn({ name: 'example.org', addresses: ['192.0.2.2'], ttl: 600 })
    expect(await expiry()).toBe('20m')
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
  })

  it('needs nothing but the resolver in the container’s namespace to be kept fresh', async () => {
    const network = await host.open()
    const a = await contained(network, { allow: [{ to: 'www.example.org', port: 80 }] })
    await using upstream = await UpstreamServer.start('127.0.0.1', (question) =>
      reply(question, question.type === 1 ? ['192.0.2.2'] : []),
    )
    const resolver = openResolver({
      netns: a.netns,
      table: { ttl: 60, hosts: [] },
      upstreams: [{ address: '127.0.0.1', port: upstream.port }],
      onAnswer: network.learn,
    })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
    expect(await run(a.netns, 'busybox nslookup www.example.org 127.0.0.11')).toContain('192.0.2.2')
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(false)
    resolver.close()
  })

  it('that denies ends connections to the address', async () => {
    const network = await host.open()
    const list = refusals(network)
    const a = await contained(network, { deny: [{ to: '*.ads.example' }] })
    await host.serve(outside, 'dns', 53, 'udp')
    const client = await udpSocket(a.netns, '0.0.0.0', 0)
    await eventually(() => reaches(a.netns, '192.0.2.2')) // tcp repeats what a link that has just come up loses
    expect(await fetchUdp(a.netns, '192.0.2.2', 53, client)).toMatch(/^dns/)
    await network.learn({ name: 'x.ads.example', addresses: ['192.0.2.2'], ttl: 60 })
    expect(await fetchUdp(a.netns, '192.0.2.2', 53, client)).toBe('')
    await eventually(() => list.length > 0)
    expect(list[0]).toMatchObject({ id: 'c', rule: 'deny *.ads.example', protocol: 'udp', port: 53 })
    client.close()
  })
})

describe.skipIf(process.getuid?.() !== 0)('policies', () => {
  it('never let through what the host’s own rules refuse', async () => {
    const network = await host.open({ egress: { allow: [{ to: '192.0.2.0/24' }] } })
    const a = await contained(network, { allow: [{ to: '192.0.2.2' }] })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    await host.run(`nft 'add table inet fw; add chain inet fw f { type filter hook forward priority 10; }
      add rule inet fw f ip daddr 192.0.2.2 tcp dport 80 drop'`)
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(true)
  })

  it('are back after somebody flushed them, before anything else is', async () => {
    const network = await host.open()
    const events: NetworkEvent[] = []
    network.watch((event) => events.push(event))
    const a = await contained(network, { allow: [{ to: '192.0.2.2', port: 443 }] })
    await host.run('nft flush ruleset')
    await eventually(() => events.some(({ type }) => type === 'rules-lost'))
    expect(events.map(({ type }) => type)).toEqual(['policy-lost', 'rules-lost'])
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
    expect(await reaches(a.netns, '192.0.2.2', 443)).toBe(true)
    events.length = 0
    await host.run(`nft delete element inet hft policy-hf0-limited4 { ${a.ip} }`)
    await eventually(() => events.some(({ type }) => type === 'policy-lost'))
    expect(events.find(({ type }) => type === 'policy-lost')).toMatchObject({ repaired: true })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
  })

  it('outlive their process; restore takes up those of the living, with names learned, and removes the rest', async () => {
    let network = await host.open({ egress: { deny: [{ to: '192.0.2.3' }] } })
    const a = await contained(network, { allow: [{ to: 'example.org' }] }, 'a')
    const b = await contained(network, { deny: [{ to: '192.0.2.2' }] }, 'b')
    await network.learn({ name: 'example.org', addresses: ['192.0.2.2'], ttl: 300 })
    await network.close()
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(b.netns, '192.0.2.2')).toBe(false)
    network = await host.open()
    const stored = JSON.parse(JSON.stringify(a.attachment)) as Attachment
    const report = await network.restore([stored])
    expect(report.filter((line) => line.startsWith('policy')).length).toBeGreaterThan(1)
    expect(await reaches(a.netns, '192.0.2.2')).toBe(true)
    expect(await reaches(a.netns, '192.0.2.3')).toBe(false)
    const list = await sets()
    expect(list).not.toContain('192.0.2.3')
    expect(list).not.toContain(b.ip)
    await network.learn({ name: 'example.org', addresses: ['192.0.2.2'], ttl: 3_000 })
    expect(await sets()).toMatch(/192\.0\.2\.2 timeout 1h40m/)
    expect(await network.restore([stored])).toEqual([])
    await network.detach(a.attachment, { wait: true })
    expect(await sets()).not.toContain(a.ip)
  })

  it('go before the address can be another’s, however fast the next one comes', async () => {
    const network = await host.open({ subnets: [{ subnet: '10.77.0.0/30' }, { subnet: 'fd00:77::/64' }] })
    const ids = ['c', 'c', 'd', 'c']
    let last: Attachment | undefined
    for (const [index, id] of ids.entries()) {
      if (last) await network.detach(last) // its link is still there
      const egress = index % 2 === 0 ? { allow: [] } : { deny: [{ to: '192.0.2.2', port: 443 }] }
      const next = await contained(network, egress, id)
      expect(next.ip).toBe('10.77.0.2')
      expect([await reaches(next.netns, '192.0.2.2'), await reaches(next.netns, '192.0.2.2', 443)]).toEqual([
        index % 2 !== 0,
        false,
      ])
      last = next.attachment
    }
    await network.detach(last!, { wait: true })
    expect(await sets()).not.toContain('10.77.0.2')
  })

  it('that are wrong change nothing', async () => {
    const network = await host.open()
    await expect(contained(network, { deny: [{ to: '10.0.0.1/8' }] })).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
      details: { field: 'egress.deny[0].to' },
    })
    const a = await contained(network, { allow: [] })
    await expect(network.allow(a.attachment, [{ to: '256.1.1.1' }])).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
    await expect(network.deny({ id: 'nobody', interface: 'eth0' }, [{}])).rejects.toMatchObject({
      code: 'HF_NETWORK_FAILED',
    })
    expect(await reaches(a.netns, '192.0.2.2')).toBe(false)
    expect(await host.run('ip -o link show master hf0 | wc -l')).toBe('1')
  })

  it('cost no more elements than they have rules, and none for containers without one', async () => {
    const network = await host.open()
    for (let index = 0; index < 5; index++) await contained(network, undefined, `plain${index}`)
    expect(await host.run('nft list ruleset')).not.toContain('policy-')
    await contained(network, { deny: [{ to: '10.0.0.0/8' }, { to: '10.1.0.0/16' }, { to: '10.1.2.3' }] }, 'x')
    const list = JSON.parse(await host.run('nft -j list set inet hft policy-hf0-container-deny-to4')) as {
      nftables: { set?: { elem?: unknown[] } }[]
    }
    expect(list.nftables.flatMap(({ set }) => set?.elem ?? [])).toHaveLength(1)
  })
})
