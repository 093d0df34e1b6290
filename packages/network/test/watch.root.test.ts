import { closeSync } from 'node:fs'
import { createNamespace } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { repairNetwork, type BridgeNetwork, type NetworkEvent, type PortMapping } from '../src/index.ts'
import { attempt, fetchTcp, run, TestHost, type TestContainer } from './network-fixture.ts'

let host: TestHost
let network: BridgeNetwork
let events: NetworkEvent[]
let web: TestContainer

const port = (hostPort: number): PortMapping => ({ protocol: 'tcp', containerPort: 80, hostPort })

beforeEach(async () => {
  host = await TestHost.create()
  network = await host.open()
  events = []
  network.watch((event) => events.push(event))
  web = await host.container(network, [port(8080)], 'web')
  await host.serve(web.netns, 'web', 80)
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const told = (type: NetworkEvent['type']) => events.filter((event) => event.type === type)

async function untilTold(type: NetworkEvent['type']): Promise<NetworkEvent> {
  await eventually(() => told(type).length > 0)
  return told(type)[0]!
}

/** From the container to the host and back, and through the published port. */
async function expectWhole(): Promise<void> {
  await run(web.netns, 'busybox ping -c1 -W1 10.77.0.1 && busybox ping6 -c1 -W2 fd00:77::1')
  expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
}

describe.skipIf(process.getuid?.() !== 0)('an open network', () => {
  it('says nothing while all that happens is its own doing', async () => {
    const other = await host.open({
      name: 'two',
      bridge: 'hf1',
      stateDir: `${host.stateDir}/two`,
      subnets: [{ subnet: '10.78.0.0/24' }],
    })
    const a = await host.container(network, [port(8081)])
    const ports = await network.publish(a.attachment, [port(8082)])
    await network.unpublish(a.attachment, ports)
    await network.detach(a.attachment, { wait: true })
    const b = await host.container(other, [port(8083)])
    await other.detach(b.attachment, { wait: true })
    await other.remove()
    expect(await network.repair()).toEqual([])
    // What comes after everything else is told after it.
    await host.run('ip link set hf0 down')
    await untilTold('bridge-down')
    expect(new Set(events.map(({ type }) => type))).not.toContain('rules-lost')
    expect(told('link-lost')).toEqual([])
    expect(told('ports-lost')).toEqual([])
  })

  it('makes a deleted bridge again, with everybody on it', async () => {
    await host.run('ip link delete hf0')
    expect(await untilTold('bridge-lost')).toEqual({ type: 'bridge-lost', bridge: 'hf0', repaired: true })
    await eventually(() => told('link-off-bridge').length > 0)
    await expectWhole()
    expect(told('link-off-bridge')).toEqual([
      {
        type: 'link-off-bridge',
        id: 'web',
        interface: 'eth0',
        link: web.attachment.hostInterface,
        repaired: true,
      },
    ])
  })

  it('puts back a bridge’s state, addresses and routes', async () => {
    await host.run('ip link set hf0 down')
    expect(await untilTold('bridge-down')).toMatchObject({ repaired: true })
    await expectWhole()
    events = []
    await host.run('ip addr del 10.77.0.1/24 dev hf0; ip addr del fd00:77::1/64 dev hf0')
    await eventually(() => told('address-lost').length === 2)
    await expectWhole()
    events = []
    await host.run('ip route del 10.77.0.0/24; ip -6 route del fd00:77::/64')
    await eventually(() => told('route-lost').length === 2)
    expect(told('route-lost')).toEqual([
      { type: 'route-lost', destination: '10.77.0.0/24', repaired: true },
      { type: 'route-lost', destination: 'fd00:77::/64', repaired: true },
    ])
    await expectWhole()
  })

  it('puts back a link that was taken off the bridge or down', async () => {
    const link = web.attachment.hostInterface
    await host.run(`ip link set ${link} nomaster`)
    expect(await untilTold('link-off-bridge')).toMatchObject({ id: 'web', link, repaired: true })
    await expectWhole()
    await host.run(`ip link set ${link} down`)
    expect(await untilTold('link-down')).toMatchObject({ id: 'web', link, repaired: true })
    await expectWhole()
  })

  it('says once whose link is lost: deleted, or gone with its namespace', async () => {
    const netns = createNamespace('net')
    await network.attach({ id: 'dying', netns, interface: 'eth0' })
    await host.run(`ip link delete ${web.attachment.hostInterface}`)
    expect(await untilTold('link-lost')).toEqual({
      type: 'link-lost',
      id: 'web',
      interface: 'eth0',
      link: web.attachment.hostInterface,
      repaired: false,
    })
    closeSync(netns)
    await eventually(() => told('link-lost').length === 2)
    expect(told('link-lost')[1]).toMatchObject({ id: 'dying', repaired: false })
    expect(await network.repair()).toEqual([])
    await network.detach(web.attachment)
  })

  it('writes rules again that somebody flushed, all or some, and published ports that somebody deleted', async () => {
    await host.run('nft flush ruleset')
    expect(await untilTold('rules-lost')).toEqual({
      type: 'rules-lost',
      missing: ['table'],
      repaired: true,
    })
    await eventually(() => told('ports-lost').length > 0)
    expect(told('ports-lost')).toEqual([
      {
        type: 'ports-lost',
        ports: ['tcp 8080 → 10.77.0.2 port 80', 'tcp 8080 → fd00:77::2 port 80'],
        repaired: true,
      },
    ])
    await expectWhole()
    for (const [part, command] of [
      ['publish', 'flush chain inet hft publish'],
      ['source4', 'delete element inet hft source4 { 10.77.0.0/24 }'],
    ] as const) {
      events = []
      await host.run(`nft '${command}'`) // one at a time: a look that is under way may see half of two
      expect(await untilTold('rules-lost')).toMatchObject({ missing: [part], repaired: true })
      await expectWhole()
    }
    events = []
    await host.run('nft delete element inet hft publish4_any { tcp . 8080 }')
    expect(await untilTold('ports-lost')).toMatchObject({ ports: ['tcp 8080 → 10.77.0.2 port 80'] })
    await expectWhole()
  })

  it('does not fight an administrator who switches forwarding off, and says how to switch it on', async () => {
    await host.run('sysctl -qw net.ipv4.ip_forward=0')
    expect(await untilTold('forwarding-off')).toEqual({
      type: 'forwarding-off',
      family: 4,
      fix: 'sysctl -w net.ipv4.ip_forward=1',
      repaired: false,
    })
    expect(await host.run('sysctl -n net.ipv4.ip_forward')).toBe('0')
  })

  it('names who routes a part of its subnet elsewhere', async () => {
    await host.neighbour()
    await host.run('ip route add 10.77.0.128/25 via 192.0.2.2')
    expect(await untilTold('route-conflict')).toEqual({
      type: 'route-conflict',
      destination: '10.77.0.128/25',
      link: 'up0',
    })
  })

  it('refuses a bridge of its name that somebody else made, and says so', async () => {
    // After a repair the next look is a second away: time to put another bridge in its place.
    await host.run('ip link set hf0 down')
    await untilTold('bridge-down')
    await host.run('ip link delete hf0; ip link add hf0 type bridge; ip link set hf0 up')
    const unrepaired = () => events.find((event) => 'repaired' in event && !event.repaired)
    await eventually(() => unrepaired() !== undefined)
    expect(unrepaired()).toMatchObject({ type: 'address-lost', error: { code: 'HF_NETWORK_FAILED' } })
    expect(await host.run('ip -d link show hf0')).not.toContain('holdfast')
  })

  it('leaves alone what others have in the rules', async () => {
    await host.run(`nft 'add table inet theirs; add chain inet theirs c { type filter hook input priority 0; }'
      nft 'add rule inet hft forward counter comment "an administrator’s"'`)
    await host.run('nft delete table inet theirs; nft flush chain inet hft raw')
    await untilTold('rules-lost')
    await expectWhole()
    expect(await host.run('nft list ruleset')).not.toContain('theirs')
  })
})

describe.skipIf(process.getuid?.() !== 0)('repairNetwork', () => {
  it('says what is amiss, and puts it right, without an open network', async () => {
    const { options } = network
    await network.close()
    await host.run('nft flush ruleset; ip link delete hf0')
    const link = web.attachment.hostInterface
    const amiss = (repaired: boolean) => [
      { type: 'bridge-lost', bridge: 'hf0', repaired },
      { type: 'route-lost', destination: '10.77.0.0/24', repaired },
      { type: 'route-lost', destination: 'fd00:77::/64', repaired },
      { type: 'link-off-bridge', id: 'web', interface: 'eth0', link, repaired },
      { type: 'rules-lost', missing: ['table'], repaired },
      {
        type: 'ports-lost',
        ports: ['tcp 8080 → 10.77.0.2 port 80', 'tcp 8080 → fd00:77::2 port 80'],
        repaired,
      },
    ]
    expect(await repairNetwork(options, [web.attachment], { fix: false })).toEqual(amiss(false))
    expect((await attempt(host.netns, 'nft list table inet hft || ip link show hf0')).status).not.toBe(0)
    const mended = await repairNetwork(options, [web.attachment])
    expect(mended).toEqual(amiss(true).filter(({ type }) => type !== 'route-lost'))
    await expectWhole()
    expect(await repairNetwork(options, [web.attachment])).toEqual([])
  })
})
