import { createNamespace } from '@holdfast/core'
import { closeSync, existsSync } from 'node:fs'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CniHost, port, publish } from './cni-fixture.ts'
import { attempt, fetchTcp, fetchUdp, run } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const v4 = { ipam: { subnet: '10.77.0.0/24', routes: [{ dst: '0.0.0.0/0' }] } }

/** What `ip -j -d link` tells of a link. */
// eslint-disable-next-line typescript/no-explicit-any
async function detail(name: string, netns = host.netns): Promise<any> {
  return JSON.parse(await run(netns, `ip -j -d link show ${name}`))[0]
}

describe.skipIf(process.getuid?.() !== 0)('addresses', { timeout: 60_000 }, () => {
  it('come from several ranges in turn, around reservations, and go back to the end of the line', async () => {
    const ipam = {
      ranges: [
        [
          { subnet: '10.77.0.0/29', rangeStart: '10.77.0.2', rangeEnd: '10.77.0.4' },
          { subnet: '10.78.0.0/24', rangeStart: '10.78.0.9', rangeEnd: '10.78.0.9', gateway: '10.78.0.254' },
        ],
      ],
      reserved: ['10.77.0.3'],
    }
    const config = host.config({ isGateway: false, ipMasq: false, ipam })
    const netns = host.namespace()
    const given: string[] = []
    for (let round = 0; round < 4; round++) {
      const { ips } = await host.succeed('ADD', { netns, config })
      given.push(ips[0].address)
      if (round < 3) await host.succeed('DEL', { netns, config })
    }
    expect(given).toEqual(['10.77.0.2/29', '10.77.0.4/29', '10.78.0.9/24', '10.77.0.2/29'])
    for (const id of ['c2', 'c3']) await host.succeed('ADD', { id, netns: host.namespace(), config })
    expect(await host.fail('ADD', { id: 'c4', netns: host.namespace(), config })).toMatchObject({ code: 103 })
  })

  it('are had again from containers that died without a word', async () => {
    const config = host.config({ ipam: { subnet: '10.77.0.0/30' }, ...publish(port(8080)) })
    const dead = createNamespace('net')
    await host.succeed('ADD', { id: 'dead', netns: dead, config })
    expect(await host.fail('ADD', { id: 'next', netns: host.namespace(), config })).toMatchObject({
      code: 103,
    })
    closeSync(dead)
    await eventually(async () => !(await host.run('ip -o link')).includes('hf'))
    const { ips } = await host.succeed('ADD', { id: 'next', netns: host.namespace(), config })
    expect(ips[0].address).toBe('10.77.0.2/30')
  })

  it('are given as asked for: by capability, by args, by CNI_ARGS; and refused where they are taken', async () => {
    const ask = (change: object, env = {}) => ({
      netns: host.namespace(),
      config: host.config({ ...v4, ...change }),
      env,
    })
    const one = await host.succeed('ADD', {
      id: 'a',
      ...ask({ runtimeConfig: { ips: ['10.77.0.50/24', '10.77.0.50'] } }),
    })
    expect(one.ips[0].address).toBe('10.77.0.50/24')
    expect(
      await host.fail('ADD', { id: 'b', ...ask({ runtimeConfig: { ips: ['10.77.0.50'] } }) }),
    ).toMatchObject({ code: 102, details: expect.stringContaining('a/eth0') })
    expect(
      (await host.succeed('ADD', { id: 'c', ...ask({ args: { cni: { ips: ['10.77.0.51'] } } }) })).ips[0]
        .address,
    ).toBe('10.77.0.51/24')
    const env = { CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.77.0.52;MAC=0a:00:00:00:00:07' }
    const named = await host.succeed('ADD', { id: 'd', ...ask({}, env) })
    expect([named.ips[0].address, named.interfaces[2].mac]).toEqual(['10.77.0.52/24', '0a:00:00:00:00:07'])
    expect(
      await host.fail('ADD', { id: 'e', ...ask({ runtimeConfig: { ips: ['10.99.0.1'] } }) }),
    ).toMatchObject({ code: 4 })
    expect(
      (
        await host.succeed('ADD', {
          id: 'f',
          ...ask({ isGateway: false, ipam: {}, runtimeConfig: { ipRanges: [[{ subnet: '10.79.0.0/24' }]] } }),
        })
      ).ips[0].address,
    ).toBe('10.79.0.2/24')
  })

  it('come from a subnet of its own choice where none is named, the same for all', async () => {
    const config = { ...host.config(), ipam: undefined }
    await host.run('ip link add busy type bridge; ip addr add 10.213.0.1/24 dev busy; ip link set busy up')
    const results = await Promise.all(
      ['a', 'b', 'c'].map((id) => host.succeed('ADD', { id, netns: host.namespace(), config })),
    )
    // The first that nobody else had reserved while it looked: of three at once that may be the second free one.
    const addresses = results.map(({ ips }) => ips[0].address as string).sort()
    const [subnet] = addresses[0]!.match(/^10\.213\.[1-3]\./)!
    expect(addresses).toEqual([2, 3, 4].map((last) => `${subnet}${last}/24`))
  })

  it.skipIf(!existsSync('/usr/lib/cni/host-local'))('come from host-local, and go back to it', async () => {
    const dataDir = `${host.stateDir}/host-local`
    const ipam = {
      type: 'host-local',
      dataDir,
      ranges: [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd00:77::/64' }]],
      routes: [{ dst: '0.0.0.0/0' }],
    }
    const config = host.config({ cniVersion: '1.0.0', ipam })
    const netns = host.namespace()
    const given = async () => (await host.run(`find ${dataDir} -name '*77*' | wc -l`)).trim()
    const prevResult = await host.succeed('ADD', { netns, config })
    expect(prevResult.ips).toMatchObject([
      { address: '10.77.0.2/24', gateway: '10.77.0.1', interface: 2 },
      { address: 'fd00:77::2/64' },
    ])
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
    await host.succeed('CHECK', { netns, config: { ...config, prevResult } })
    expect(await host.fail('ADD', { id: 'c2', netns, config })).toMatchObject({ code: 105 }) // eth0 is there
    expect(await given()).toBe('2')
    await host.succeed('DEL', { config })
    expect(await given()).toBe('0')
    expect(await host.leftovers()).toEqual([])
    expect(await host.fail('ADD', { netns, config: { ...config, cniVersion: '1.1.0' } })).toMatchObject({
      code: 1,
      msg: expect.stringContaining('host-local'),
    })
  })
})

describe.skipIf(process.getuid?.() !== 0)('the bridge', { timeout: 60_000 }, () => {
  it('takes hairpinMode, mtu, portIsolation, promiscMode and isDefaultGateway', async () => {
    const { ipam } = v4
    const [a, b] = [host.namespace(), host.namespace()]
    const config = host.config({
      ipam: { subnet: ipam.subnet },
      hairpinMode: true,
      mtu: 1400,
      portIsolation: true,
      isDefaultGateway: true,
    })
    const result = await host.succeed('ADD', { netns: a, config })
    expect(result.routes).toEqual([{ dst: '0.0.0.0/0', gw: '10.77.0.1' }])
    await host.succeed('ADD', { id: 'c2', netns: b, config })
    const link = await detail(result.interfaces[1].name)
    expect(link).toMatchObject({
      mtu: 1400,
      linkinfo: { info_slave_data: { hairpin: true, isolated: true } },
    })
    expect((await detail('eth0', a)).mtu).toBe(1400)
    await run(a, 'busybox ping -c1 -W2 10.77.0.1')
    expect((await attempt(a, 'busybox ping -c1 -W1 10.77.0.3')).status).toBe(1)
    const promiscuous = host.config({
      name: 'p',
      bridge: 'cni1',
      ipam: { subnet: '10.78.0.0/24' },
      promiscMode: true,
    })
    await host.succeed('ADD', { id: 'p', netns: host.namespace(), config: promiscuous })
    expect((await detail('cni1')).promiscuity).toBeGreaterThan(0)
    expect(
      await host.fail('ADD', {
        id: 'q',
        netns: host.namespace(),
        config: { ...promiscuous, hairpinMode: true },
      }),
    ).toMatchObject({ code: 7 })
  })

  it('forwards where it is the gateway, masqueraded or not, and connects alone with an empty ipam', async () => {
    const forwarding = 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding'
    const files = forwarding.replace('cat ', '')
    await host.run(`for file in ${files}; do echo 0 >$file; done`)
    const netns = host.namespace()
    const empty = host.config({ ipam: {}, ipMasq: false })
    const { ips } = await host.succeed('ADD', { netns, config: empty })
    expect([ips, (await detail('eth0', netns)).flags.includes('UP')]).toEqual([undefined, true])
    expect(await host.run(forwarding)).toBe('0\n0')
    await host.succeed('DEL', { netns, config: empty })
    await host.succeed('ADD', { netns, config: host.config({ ipMasq: false }) })
    expect(await host.run(forwarding)).toBe('1\n1')
  })

  it('has its address replaced by forceAddress alone', async () => {
    await host.run('ip link add cni0 type bridge; ip link set cni0 up; ip addr add 10.50.0.1/24 dev cni0')
    const netns = host.namespace()
    expect(await host.fail('ADD', { netns, config: host.config(v4) })).toMatchObject({
      code: 100,
      details: expect.stringContaining('forceAddress'),
    })
    expect(await host.run('ip -o addr show cni0')).toMatch(/10\.50\.0\.1/)
    expect(await host.leftovers()).toEqual([])
    await host.succeed('ADD', { netns, config: host.config({ ...v4, forceAddress: true }) })
    expect(await host.run('ip -o -4 addr show cni0')).not.toMatch(/10\.50\.0\.1/)
  })

  it('has several gateways of one family, on a bridge that was there too; the first is the default route', async () => {
    await host.run('ip link add cni0 type bridge; ip link set cni0 up')
    const ranges = [[{ subnet: '10.77.0.0/24' }], [{ subnet: '10.78.0.0/24' }]]
    for (const forceAddress of [false, true]) {
      const config = host.config({ isDefaultGateway: true, forceAddress, ipam: { ranges } })
      const netns = host.namespace()
      const prevResult = await host.succeed('ADD', { netns, config })
      expect(prevResult.ips.map(({ gateway }: { gateway: string }) => gateway)).toEqual([
        '10.77.0.1',
        '10.78.0.1',
      ])
      expect(prevResult.routes).toEqual([{ dst: '0.0.0.0/0', gw: '10.77.0.1' }])
      await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
      await run(netns, 'busybox ping -c1 -W2 10.78.0.1')
      await host.succeed('CHECK', { netns, config: { ...config, prevResult } })
      await host.succeed('DEL', { netns, config })
      await host.run('ip addr flush dev cni0')
    }
  })

  it('drops frames from another sender with macspoofchk, and the container’s own get through', async () => {
    const netns = host.namespace()
    const config = host.config({ ...v4, macspoofchk: true })
    const { interfaces } = await host.succeed('ADD', { netns, config })
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
    await run(netns, 'ip link set eth0 address 0a:00:00:00:00:66')
    expect((await attempt(netns, 'busybox ping -c1 -W1 10.77.0.1')).status).toBe(1)
    await run(netns, `ip link set eth0 address ${interfaces[2].mac}`)
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
  })

  it('looks for duplicates with enabledad', async () => {
    const config = host.config({ ipam: { subnet: 'fd00:77::/64' }, enabledad: true })
    await host.run(
      'ip link add cni0 type bridge; ip link set cni0 up; ip addr add fd00:77::2/64 dev cni0 nodad',
    )
    const netns = host.namespace()
    expect(await host.fail('ADD', { netns, config: { ...config, isGateway: false } })).toMatchObject({
      code: 100,
      msg: expect.stringContaining('fd00:77::2'),
    })
    await host.run('ip addr del fd00:77::2/64 dev cni0')
    await host.succeed('ADD', { netns, config })
    expect(await run(netns, 'ip -6 addr show dev eth0')).not.toContain('nodad')
  })

  it('leaves the interface down and without addresses with disableContainerInterface', async () => {
    const netns = host.namespace()
    const { ips, interfaces } = await host.succeed('ADD', {
      netns,
      config: host.config({ ipam: undefined, disableContainerInterface: true }),
    })
    expect([ips, interfaces.length]).toEqual([undefined, 3])
    expect((await detail('eth0', netns)).flags).not.toContain('UP')
  })

  it('joins VLANs', async (context) => {
    const netns = host.namespace()
    const config = host.config({
      ...v4,
      ipMasq: false,
      vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 20 }],
      preserveDefaultVlan: false,
    })
    const { status, json } = await host.call('ADD', { netns, config })
    if (/VLAN_FILTERING/.test(json?.details ?? '')) {
      expect(await host.leftovers()).toEqual([])
      return context.skip('this kernel’s bridges have no VLANs')
    }
    expect(status).toBe(0)
    const vlans = await host.run(`bridge vlan show dev ${json.interfaces[1].name}`)
    expect(vlans.match(/\b\d+\b/g)).toEqual(['10', '11', '12', '20'])
  })
})

describe.skipIf(process.getuid?.() !== 0)('published ports', { timeout: 60_000 }, () => {
  it('are reached from the host, from outside, by IPv6 and from a neighbour; a conflict names its holder', async () => {
    const [a, b] = [host.namespace(), host.namespace()]
    const outside = await host.neighbour()
    await host.succeed('ADD', {
      netns: a,
      config: host.config(
        publish(
          port(8080),
          port(5353, { protocol: 'udp', containerPort: 53 }),
          port(9090, { hostIP: '192.0.2.1' }),
        ),
      ),
    })
    await host.serve(a, 'web', 80)
    await host.serve(a, 'web6', 80, 'tcp', '::')
    await host.serve(a, 'dns', 53, 'udp')
    await host.succeed('ADD', { id: 'c2', netns: b })
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    expect(await fetchTcp(outside, '192.0.2.1', 8080)).toBe('web 192.0.2.2')
    expect(await fetchTcp(outside, 'fd00:2::1', 8080)).toBe('web6 fd00:2::2')
    expect(await fetchTcp(outside, '192.0.2.1', 9090)).toBe('web 192.0.2.2')
    expect(await fetchTcp(b, '192.0.2.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(a, '192.0.2.1', 8080)).toMatch(/^web /) // hairpin
    expect(await fetchUdp(outside, '192.0.2.1', 5353)).toMatch(/^dns /)
    const conflict = { id: 'c3', netns: host.namespace(), config: host.config(publish(port(8080))) }
    expect(await host.fail('ADD', conflict)).toMatchObject({
      code: 101,
      msg: expect.stringContaining('container c1'),
    })
    await host.serve(host.netns, 'server', 7070)
    expect(await host.fail('ADD', { ...conflict, config: host.config(publish(port(7070))) })).toMatchObject({
      code: 101,
      msg: expect.stringContaining(`pid ${process.pid}`),
    })
    const loopback = host.config(publish(port(7071, { hostIP: '::1' })))
    expect(await host.fail('ADD', { ...conflict, config: loopback })).toMatchObject({
      code: 2,
      msg: expect.stringContaining('::1'),
    })
    // Neither who failed nor the end of what never was has taken it away.
    await host.succeed('DEL', conflict)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    await host.succeed('DEL', { netns: a })
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080, 1)).toBe('')
  })

  it('of a container in two networks lead to one of its addresses, and when that goes to the other', async () => {
    const netns = host.namespace()
    const fetch = () => fetchTcp(host.netns, '127.0.0.1', 8080)
    const published = publish(port(8080), port(5353, { protocol: 'udp' }))
    const first = { netns, config: host.config({ ...v4, ...published }) }
    const second = {
      netns,
      interface: 'eth1',
      config: host.config({ name: 'net2', bridge: 'cni1', ipam: { subnet: '10.78.0.0/24' }, ...published }),
    }
    const results = [await host.succeed('ADD', first), await host.succeed('ADD', second)]
    await host.serve(netns, 'web', 80)
    expect(await fetch()).toBe('web 10.77.0.1')
    const other = { id: 'c2', netns: host.namespace(), config: host.config({ ...v4, ...published }) }
    expect(await host.fail('ADD', other)).toMatchObject({ code: 101, msg: expect.stringContaining('c1') })
    const check = async () => {
      const said: string[] = []
      for (const [index, { config, ...call }] of [first, second].entries()) {
        const prevResult = results[index]
        const { status, stderr } = await host.call('CHECK', { ...call, config: { ...config, prevResult } })
        said.push(`${status} ${stderr.split('\n').filter((line) => line.includes(':8080/')).length}`)
      }
      return said
    }
    expect(await check()).toEqual(['0 0', '0 0'])
    await host.succeed('DEL', first)
    expect(await fetch()).toBe('web 10.78.0.1')
    results[0] = await host.succeed('ADD', first)
    expect(await fetch()).toBe('web 10.78.0.1')
    await host.run('nft flush ruleset')
    expect(await check()).toEqual(['0 1', '0 0'])
    expect(await fetch()).toBe('web 10.77.0.1')
    await host.succeed('DEL', second)
    expect(await fetch()).toBe('web 10.77.0.1')
    await host.succeed('DEL', first)
    expect(await host.leftovers()).toEqual([])
  })

  it('of a container that died without a word are had by the next one', async () => {
    const config = host.config(publish(port(8080)))
    const dead = createNamespace('net')
    await host.succeed('ADD', { id: 'dead', netns: dead, config })
    closeSync(dead)
    await eventually(async () => !(await host.run('ip -o link')).includes('hf'))
    const netns = host.namespace()
    await host.succeed('ADD', { id: 'next', netns, config })
    await host.serve(netns, 'next', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('next 10.77.0.1')
    expect((await host.leftovers()).join()).not.toContain('dead')
    // Nor is it kept for the one it was, where that comes back in another network.
    const again = createNamespace('net')
    await host.succeed('ADD', { id: 'again', netns: again, config: host.config(publish(port(8081))) })
    closeSync(again)
    await eventually(async () => (await host.run('ip -o link')).match(/: hf/g)?.length === 1)
    const second = { name: 'net2', bridge: 'cni1', ipam: { subnet: '10.78.0.0/24' } }
    const back = { id: 'again', interface: 'eth1', netns: host.namespace() }
    await host.succeed('ADD', { ...back, config: host.config({ ...second, ...publish(port(8081)) }) })
    await host.serve(back.netns, 'back', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8081)).toBe('back 10.78.0.1')
  })
})

describe.skipIf(process.getuid?.() !== 0)('other capabilities', { timeout: 60_000 }, () => {
  it('mac, dns and aliases reach the result', async () => {
    const runtimeConfig = {
      mac: '0A:00:00:00:00:05',
      dns: { servers: ['10.0.0.53'], searches: ['example.test'], options: ['ndots:2'] },
      aliases: { net1: ['web'] },
    }
    const result = await host.succeed('ADD', {
      netns: host.namespace(),
      config: host.config({ ...v4, runtimeConfig }),
    })
    expect(result.interfaces[2].mac).toBe('0a:00:00:00:00:05')
    expect(result.dns).toEqual({ nameservers: ['10.0.0.53'], search: ['example.test'], options: ['ndots:2'] })
    expect(await host.run(`cat ${host.cni}/*/net1/attachments/c1:eth0`)).toContain('"aliases":["web"]')
  })

  it('bandwidth limits both ways, and goes with the container', async () => {
    const netns = host.namespace()
    const bandwidth = {
      ingressRate: 40_000_000,
      ingressBurst: 400_000,
      egressRate: 16_000_000,
      egressBurst: 400_000,
    }
    const config = host.config({ ...v4, runtimeConfig: { bandwidth } })
    const prevResult = await host.succeed('ADD', { netns, config })
    const queues = await host.run('tc qdisc show')
    expect(queues).toMatch(/tbf .* dev hf\w+ .* rate 40Mbit burst 50000b/)
    expect(queues).toMatch(/tbf .* dev hi\w+ .* rate 16Mbit burst 50000b/)
    await host.succeed('CHECK', { netns, config: { ...config, prevResult } })
    const megabits = async (from: number, to: number, address: string): Promise<number> => {
      const server = run(to, 'busybox timeout 20 busybox nc -l -p 5001 | wc -c')
      const started = performance.now()
      for (;;) {
        const sent = await attempt(
          from,
          `busybox dd if=/dev/zero bs=64k count=48 2>/dev/null | busybox nc ${address} 5001`,
        )
        if (sent.status === 0) break
      }
      return (Number(await server) * 8) / 1e3 / (performance.now() - started)
    }
    expect(await megabits(host.netns, netns, '10.77.0.2')).toBeLessThan(44)
    expect(await megabits(netns, host.netns, '10.77.0.1')).toBeLessThan(18)
    await host.run(`tc qdisc del dev ${prevResult.interfaces[1].name} root`)
    expect(await host.fail('CHECK', { netns, config: { ...config, prevResult } })).toMatchObject({
      code: 106,
    })
    await host.succeed('DEL', { config })
    expect(await host.run('ip -o link; tc qdisc show')).not.toMatch(/hi[0-9a-f]{12}|tbf/)
  })
})

describe.skipIf(process.getuid?.() !== 0)('other links', { timeout: 60_000 }, () => {
  it('ptp: routes on both sides, masqueraded, published', async () => {
    const [a, b] = [host.namespace(), host.namespace()]
    const outside = await host.neighbour()
    const name = 'a-name-that-no-link-could-have' // part of it stands where links' names do
    const config = host.config({ name, link: 'ptp', ...publish(port(8080)) })
    const result = await host.succeed('ADD', { netns: a, config })
    expect(result.interfaces).toHaveLength(2)
    await host.serve(a, 'web', 80)
    await host.succeed('ADD', { id: 'c2', netns: b, config: host.config({ name, link: 'ptp' }) })
    await run(
      a,
      'busybox ping -c1 -W2 10.77.0.1; busybox ping -6 -c1 -W2 fd00:77::1; busybox ping -c1 -W2 10.77.0.3; busybox ping -6 -c1 -W2 fd00:77::3',
    )
    await run(a, 'busybox ping -c1 -W2 192.0.2.2')
    expect(await fetchTcp(b, '10.77.0.2', 80)).toBe('web 10.77.0.3') // not masqueraded within the network
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toMatch(/^web /)
    expect(await fetchTcp(outside, '192.0.2.1', 8080)).toBe('web 192.0.2.2')
    await host.succeed('CHECK', { netns: a, config: { ...config, prevResult: result } })
    await host.succeed('DEL', { config })
    await host.succeed('DEL', { id: 'c2', config })
    expect(await host.leftovers()).toEqual([])
  })

  it('macvlan: on a link of the host’s, in reach of its neighbours', async () => {
    const outside = await host.neighbour()
    const netns = host.namespace()
    const ipam = {
      ranges: [[{ subnet: '192.0.2.0/24', rangeStart: '192.0.2.100', gateway: '192.0.2.2' }]],
      routes: [{ dst: '0.0.0.0/0' }],
    }
    const config = host.config({
      link: 'macvlan',
      master: 'up0',
      ipMasq: false,
      ipam,
      runtimeConfig: { mac: '0a:00:00:00:00:09' },
    })
    const result = await host.succeed('ADD', { netns, config })
    expect(result).toMatchObject({
      interfaces: [{ name: 'eth0', mac: '0a:00:00:00:00:09' }],
      ips: [{ address: '192.0.2.100/24', interface: 0 }],
    })
    await run(netns, 'busybox ping -c1 -W2 192.0.2.2')
    await run(outside, 'busybox ping -c1 -W2 192.0.2.100')
    await host.succeed('CHECK', { netns, config: { ...config, prevResult: result } })
    expect(
      await host.fail('ADD', {
        id: 'x',
        netns: host.namespace(),
        config: { ...config, ...publish(port(80)) },
      }),
    ).toMatchObject({ code: 2 })
    await host.succeed('DEL', { netns, config })
    expect(await run(netns, 'ip -o link')).not.toContain('eth0')
    expect(await host.leftovers()).toEqual([])
  })

  it('ipvlan: with the MAC address of the link that it sits on', async (context) => {
    await host.neighbour()
    const netns = host.namespace()
    const ipam = { ranges: [[{ subnet: '192.0.2.0/24', rangeStart: '192.0.2.100', gateway: '192.0.2.2' }]] }
    const config = host.config({ link: 'ipvlan', master: 'up0', ipMasq: false, ipam })
    const { json, status } = await host.call('ADD', { netns, config })
    if (/no ipvlan links/.test(json?.details ?? '')) {
      expect(await host.leftovers()).toEqual([])
      return context.skip('this kernel has no ipvlan')
    }
    expect(status).toBe(0)
    await run(netns, 'busybox ping -c1 -W2 192.0.2.2')
    await host.succeed('DEL', { netns, config })
    expect(await run(netns, 'ip -o link')).not.toContain('eth0')
  })

  it('host-device: moves into the container and comes back under its name', async () => {
    const netns = host.namespace()
    await host.run(
      'ip link add dev7 type veth peer name peer7; ip addr add 10.77.0.1/24 dev peer7; ip link set peer7 up',
    )
    const config = host.config({ link: 'host-device', device: 'dev7', ipMasq: false, ...v4 })
    const result = await host.succeed('ADD', { netns, config })
    expect(result.interfaces[0]).toMatchObject({ name: 'eth0' })
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
    expect(await host.run('ip -o link')).not.toContain('dev7')
    expect(await host.fail('ADD', { id: 'c2', netns: host.namespace(), config })).toMatchObject({ code: 100 })
    await host.succeed('DEL', { netns, config })
    expect(await host.run('ip -o link')).toContain('dev7')
    expect(await host.leftovers()).toEqual([])
    const { address } = await detail('dev7')
    await host.succeed('ADD', {
      netns,
      config: host.config({ link: 'host-device', hwaddr: address, ipMasq: false, ...v4 }),
    })
    expect(await run(netns, 'ip -o link')).toContain('eth0')
  })

  it.skipIf(!existsSync('/usr/lib/cni/bridge'))(
    'chained behind another plugin: ports and bandwidth on its interface',
    async () => {
      const netns = host.namespace()
      const reference = {
        cniVersion: '1.0.0',
        name: 'net1',
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipam: {
          type: 'host-local',
          dataDir: `${host.stateDir}/hl`,
          subnet: '10.77.0.0/24',
          routes: [{ dst: '0.0.0.0/0' }],
        },
      }
      const prevResult = await host.succeed('ADD', {
        netns,
        program: '/usr/lib/cni/bridge',
        config: reference,
      })
      const runtimeConfig = { portMappings: [port(8080)], bandwidth: { egressRate: 16_000_000 } }
      const config = {
        cniVersion: '1.0.0',
        name: 'net1',
        type: 'holdfast-bridge',
        stateDir: host.cni,
        runtimeConfig,
        prevResult,
      }
      expect(await host.succeed('ADD', { netns, config })).toEqual(prevResult)
      await host.serve(netns, 'web', 80)
      expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
      expect(await host.run('tc qdisc show')).toMatch(/dev hi\w+ .* rate 16Mbit/)
      await host.succeed('CHECK', { netns, config })
      await host.succeed('DEL', { netns, config })
      expect(await host.leftovers()).toEqual([])
      expect(await run(netns, 'ip -o link')).toContain('eth0') // it is not ours
    },
  )

  it('chained without an interface: adds its own to the result', async () => {
    const prevResult = {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'tap0' }],
      ips: [{ address: '192.0.2.9/24', interface: 0 }],
      routes: [],
      dns: {},
    }
    const result = await host.succeed('ADD', {
      netns: host.namespace(),
      config: host.config({ ...v4, prevResult }),
    })
    expect(result.interfaces.map(({ name }: { name: string }) => name)).toEqual([
      'tap0',
      'cni0',
      expect.any(String),
      'eth0',
    ])
    expect(result.ips).toMatchObject([
      { address: '192.0.2.9/24', interface: 0 },
      { address: '10.77.0.2/24', interface: 3 },
    ])
  })
})
