import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest'
import { CniHost, port, publish, withoutHelper } from './cni-fixture.ts'
import { attempt, fetchTcp, run } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const ping = (netns: number, address: string) =>
  attempt(netns, `busybox ping -c1 -W2 ${address}`).then(({ status }) => status === 0)

/** Networks of one bridge, each a VLAN with the host's interface in it. */
const network = (vlan: number, change: object = {}) =>
  host.config({
    name: `vlan${vlan}`,
    vlan,
    isDefaultGateway: true,
    ipam: { ranges: [[{ subnet: `10.77.${vlan}.0/24` }], [{ subnet: `fd00:77:${vlan}::/64` }]] },
    ...change,
  })

async function links(): Promise<string[]> {
  const all = JSON.parse(await host.run('ip -j link')) as { ifname: string }[]
  return all.map(({ ifname }) => ifname).filter((name) => name !== 'lo')
}

/** An interface's addresses of global scope. */
async function addresses(name: string): Promise<string[]> {
  const found = await host.run(`ip -o addr show dev ${name} scope global`)
  return [...found.matchAll(/inet6? (\S+)/g)].map(([, address]) => address!)
}

/** Its own, by its port of the bridge. */
async function vlansOf(name: string): Promise<string[]> {
  const [found] = JSON.parse(await host.run(`bridge -j vlan show dev ${name}`)) as {
    vlans: { vlan: number; flags?: string[] }[]
  }[]
  return found!.vlans.map(({ vlan, flags }) => `${vlan}${flags?.includes('PVID') ? ' untagged' : ''}`)
}

/** Where the kernel’s bridges have no VLANs that is said, nothing is left, and there is nothing more to see. */
async function skipWithoutVlans(context: TestContext): Promise<void> {
  const netns = host.namespace()
  const { status, json } = await host.call('ADD', { netns, config: network(9) })
  if (status === 0) {
    await host.succeed('DEL', { netns, config: network(9) })
    await host.succeed('GC', { config: { ...network(9), 'cni.dev/valid-attachments': [] } })
    return
  }
  expect(json.details).toContain('CONFIG_BRIDGE_VLAN_FILTERING')
  expect([await host.leftovers(), await links()]).toEqual([[], []])
  context.skip('this kernel’s bridges have no VLANs')
}

describe.skipIf(process.getuid?.() !== 0)(
  'networks that are VLANs of one bridge',
  { timeout: 240_000 },
  () => {
    // br_netfilter shows the host's rules what a bridge passes on; the setting is a namespace's, where that is loaded.
    it.for([0, 1])(
      'have the host in each of them, and nobody of the other (bridge-nf-call %i)',
      async (call, context) => {
        await skipWithoutVlans(context)
        await host.run(
          `for key in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $key ] || echo ${call} >$key; done`,
        )
        const [a, b, other, outside] = [
          host.namespace(),
          host.namespace(),
          host.namespace(),
          await host.neighbour(),
        ]
        const published = network(10, publish(port(8080)))
        const result = await host.succeed('ADD', { id: 'a', netns: a, config: published })
        await host.succeed('ADD', { id: 'b', netns: b, config: network(10) })
        await host.succeed('ADD', { id: 'other', netns: other, config: network(20) })

        const names = result.interfaces.map(({ name }: { name: string }) => name)
        expect(names).toEqual(['cni0', expect.stringMatching(/^hf/), 'eth0', 'cni0.10'])
        expect(result.ips).toMatchObject([
          { address: '10.77.10.2/24', gateway: '10.77.10.1', interface: 2 },
          {},
        ])
        expect(await addresses('cni0.10')).toEqual(['10.77.10.1/24', 'fd00:77:10::1/64'])
        expect(await addresses('cni0')).toEqual([])
        expect(await vlansOf(names[1])).toEqual(['1', '10 untagged'])

        expect(await ping(a, '10.77.10.1')).toBe(true)
        expect(await ping(a, 'fd00:77:10::1')).toBe(true)
        expect(await ping(a, '10.77.10.3')).toBe(true)
        expect(await ping(a, 'fd00:77:10::3')).toBe(true)
        expect(await ping(a, '192.0.2.2')).toBe(true) // masqueraded
        // In its own VLAN the other has an address of this one: nobody hears it.
        await run(other, 'ip addr add 10.77.10.99/24 dev eth0')
        expect(await ping(a, '10.77.10.99')).toBe(false)
        await host.serve(a, 'web', 80)
        expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toMatch(/^web /)
        expect(await fetchTcp(outside, '192.0.2.1', 8080)).toBe('web 192.0.2.2')
        expect(await fetchTcp(b, '10.77.10.1', 8080)).toMatch(/^web /)
        expect(await fetchTcp(a, '10.77.10.1', 8080)).toMatch(/^web /)
      },
    )

    it('are looked after by CHECK', async (context) => {
      await skipWithoutVlans(context)
      const netns = host.namespace()
      const config = network(10)
      const prevResult = await host.succeed('ADD', { netns, config })
      const check = { netns, config: { ...config, prevResult } }
      const link = prevResult.interfaces[1].name as string
      await host.succeed('CHECK', check)
      await host.run('ip addr del 10.77.10.1/24 dev cni0.10')
      expect((await host.fail('CHECK', check)).msg).toBe('cni0.10 has lost its address 10.77.10.1')
      await host.run('ip addr add 10.77.10.1/24 dev cni0.10')
      await host.run(`bridge vlan del vid 10 dev ${link}`)
      expect((await host.fail('CHECK', check)).msg).toBe(`${link} is not in VLAN 10 any more`)
      await host.run(`bridge vlan add vid 10 pvid untagged dev ${link}`)
      await host.succeed('CHECK', check)
      await host.run(`bridge vlan add vid 7 dev ${link}`)
      expect((await host.fail('CHECK', check)).msg).toBe(`${link} is in VLAN 7, where it does not belong`)
      await host.run(`bridge vlan del vid 7 dev ${link}; ip link set cni0 type bridge vlan_filtering 0`)
      expect((await host.fail('CHECK', check)).msg).toBe('bridge cni0 does not keep VLANs apart any more')
      await host.run('ip link set cni0 type bridge vlan_filtering 1')
      await host.succeed('CHECK', check)
      await host.run('ip link del cni0.10')
      expect((await host.fail('CHECK', check)).msg).toContain(
        'cni0.10, the host’s interface in VLAN 10, is gone',
      )
    })

    it('go one by one, the bridge with the last; one that is in use stays', async (context) => {
      await skipWithoutVlans(context)
      const gc = (vlan: number) =>
        host.succeed('GC', { config: { ...network(vlan), 'cni.dev/valid-attachments': [] } })
      const [a, b] = [host.namespace(), host.namespace()]
      await host.succeed('ADD', { id: 'a', netns: a, config: network(10) })
      await host.succeed('ADD', { id: 'b', netns: b, config: network(20) })
      await host.succeed('DEL', { id: 'a', netns: a, config: network(10) })
      await host.succeed('DEL', { id: 'b', netns: b, config: network(20) })
      expect(await host.leftovers()).toEqual([])
      // Somebody else's port in VLAN 20.
      await host.run(
        'ip link add vm0 type veth peer name vm1; ip link set vm0 master cni0 up; bridge vlan add vid 20 dev vm0',
      )
      await gc(20)
      expect(await links()).toContain('cni0.20')
      await gc(10)
      expect((await links()).filter((name) => name.startsWith('cni0'))).toEqual(['cni0', 'cni0.20'])
      expect(await host.run('nft list table inet hf-cni')).not.toMatch(/10\.77\.10\.0/)
      await host.run('ip link del vm0')
      await gc(20)
      expect([await links(), await host.run('nft list ruleset')]).toEqual([[], ''])
    })

    it('are seen through where somebody was killed, and after the bridge was removed', async (context) => {
      await skipWithoutVlans(context)
      const netns = host.namespace()
      const config = network(10, { preserveDefaultVlan: false })
      await host.succeed('ADD', { netns, config })
      const half = (await links()).find((name) => name.startsWith('hv'))!
      await host.succeed('DEL', { netns, config })
      await host.run(`ip link del cni0.10; ip link add cni0.10 type veth peer name ${half}`)
      await host.succeed('ADD', { netns, config })
      expect(await vlansOf(half)).toEqual(['10 untagged'])
      expect(await ping(netns, '10.77.10.1')).toBe(true)
      await host.succeed('DEL', { netns, config })
      await host.run('ip link del cni0')
      await host.succeed('ADD', { netns, config })
      expect(await ping(netns, '10.77.10.1')).toBe(true)
    })

    it('leave nothing after kill -9 at any moment of an ADD that makes them', async (context) => {
      await skipWithoutVlans(context)
      const netns = host.namespace()
      const config = network(10, { preserveDefaultVlan: false })
      const call = { netns, config, env: withoutHelper }
      const whole = await host.duration('ADD', call)
      const rounds = 8
      for (let round = 0; round < rounds; round++) {
        await host.succeed('DEL', call)
        await host.succeed('GC', { config: { ...config, 'cni.dev/valid-attachments': [] } })
        expect([round, await links(), await host.leftovers()]).toEqual([round, [], []])
        // Starting Node takes the first half.
        await host.kill('ADD', call, whole * (0.4 + (0.6 * round) / rounds))
        const { status, json } = await host.call('ADD', call) // unless the kill came too late
        expect(status === 0 || json.msg.includes('already')).toBe(true)
        expect([round, await ping(netns, '10.77.10.1')]).toEqual([round, true])
      }
    })

    it('of the reference plugin have ports published by ours behind it', async (context) => {
      await skipWithoutVlans(context)
      const netns = host.namespace()
      const config = {
        cniVersion: '1.0.0',
        name: 'net1',
        type: 'bridge',
        bridge: 'cni0',
        vlan: 10,
        isGateway: true,
        ipam: {
          type: 'host-local',
          dataDir: `${host.stateDir}/hl`,
          subnet: '10.77.10.0/24',
          routes: [{ dst: '0.0.0.0/0' }],
        },
      }
      const prevResult = await host.succeed('ADD', { netns, program: '/usr/lib/cni/bridge', config })
      await host.run('ip link set cni0.10 up') // this version of it forgets to
      const chained = host.config({ cniVersion: '1.0.0', prevResult, ...publish(port(8080)) })
      expect(await host.succeed('ADD', { netns, config: chained })).toEqual(prevResult)
      await host.serve(netns, 'web', 80)
      expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.10.1')
      expect(await fetchTcp(netns, '10.77.10.1', 8080)).toMatch(/^web /)
      await host.succeed('CHECK', { netns, config: chained })
      await host.run('nft flush ruleset')
      await host.succeed('CHECK', { netns, config: chained })
      expect(await fetchTcp(netns, '10.77.10.1', 8080)).toMatch(/^web /)
      await host.succeed('DEL', { netns, config: chained })
      expect(await host.leftovers()).toEqual([])
    })

    it('join a trunk with their tags', async (context) => {
      await skipWithoutVlans(context)
      const [access, trunk] = [host.namespace(), host.namespace()]
      const bridged = { isGateway: false, isDefaultGateway: false, ipMasq: false }
      const trunked = {
        ...bridged,
        vlan: 0,
        vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 20 }],
        preserveDefaultVlan: false,
      }
      await host.succeed('ADD', { id: 'a', netns: access, config: network(10, bridged) })
      const result = await host.succeed('ADD', { id: 't', netns: trunk, config: network(30, trunked) })
      expect(await vlansOf(result.interfaces[1].name)).toEqual(['10', '11', '12', '20'])
      await run(
        trunk,
        'ip link add tagged link eth0 type vlan id 10; ip addr add 10.77.10.50/24 dev tagged; ip link set tagged up',
      )
      expect(await ping(access, '10.77.10.50')).toBe(true)
      await run(
        trunk,
        'ip link del tagged; ip link add wrong link eth0 type vlan id 11; ip addr add 10.77.10.51/24 dev wrong; ip link set wrong up',
      )
      expect(await ping(access, '10.77.10.51')).toBe(false)
      expect(await links()).not.toContain('cni0.10')
    })
  },
)
