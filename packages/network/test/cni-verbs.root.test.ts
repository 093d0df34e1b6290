import { closeSync, existsSync } from 'node:fs'
import { createNamespace } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CniHost, netnsPath, port, publish } from './cni-fixture.ts'
import { attempt, fetchTcp, run } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

describe.skipIf(process.getuid?.() !== 0)('ADD and DEL', { timeout: 60_000 }, () => {
  it.for(['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])('speak version %s', async (cniVersion) => {
    const netns = host.namespace()
    const config = host.config({ cniVersion })
    const result = await host.succeed('ADD', { netns, config })
    expect(result.cniVersion).toBe(cniVersion)
    expect(result.interfaces.map(({ name }: { name: string }) => name)).toEqual([
      'cni0',
      expect.stringMatching(/^hf/),
      'eth0',
    ])
    expect(result.interfaces[2].sandbox).toBe(netnsPath(netns))
    expect('mtu' in result.interfaces[2]).toBe(cniVersion === '1.1.0')
    const old = cniVersion.startsWith('0.')
    expect(result.ips).toEqual([
      { ...(old && { version: '4' }), interface: 2, address: '10.77.0.2/24', gateway: '10.77.0.1' },
      { ...(old && { version: '6' }), interface: 2, address: 'fd00:77::2/64', gateway: 'fd00:77::1' },
    ])
    expect(result.routes).toEqual([{ dst: '0.0.0.0/0' }, { dst: '::/0' }])
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1; busybox ping -6 -c1 -W2 fd00:77::1')
    expect(await run(netns, 'ip route show default')).toContain('via 10.77.0.1')
    await host.succeed('DEL', { netns, config })
    expect(await host.leftovers()).toEqual([])
    expect(await run(netns, 'ip -o link')).not.toContain('eth0')
  })

  it('DEL undoes everything without a network namespace, twice, and without having been there', async () => {
    const netns = host.namespace()
    const config = host.config({ macspoofchk: true, ...publish(port(8080)) })
    await host.succeed('ADD', { netns, config })
    expect((await host.leftovers()).length).toBeGreaterThan(5)
    await host.succeed('DEL', { config: host.config() })
    expect(await host.leftovers()).toEqual([])
    await host.succeed('DEL', { config })
    await host.succeed('DEL', { id: 'never', netns: '/nowhere', config })
    expect(await host.run('nft list map inet hf-cni source4')).toContain('10.77.0.0/24') // the network's own stays
  })

  it('DEL undoes everything after the namespace died, and where the records are lost', async () => {
    const config = host.config(publish(port(8080)))
    const netns = createNamespace('net')
    await host.succeed('ADD', { netns, config })
    closeSync(netns)
    await eventually(async () => !(await host.run('ip -o link')).includes('hf'))
    await host.succeed('DEL', { config })
    expect(await host.leftovers()).toEqual([])

    const other = host.namespace()
    const result = await host.succeed('ADD', { netns: other, config })
    await host.run(`find ${host.cni} -mindepth 1 -delete`)
    await host.succeed('DEL', { config: { ...config, prevResult: result } })
    expect(await host.leftovers()).toEqual([])
  })

  it('the name and the addresses are free when DEL returns', async () => {
    const netns = host.namespace()
    const config = host.config({ ipam: { subnet: '10.77.0.0/30' } }) // one address
    for (let round = 0; round < 3; round++) {
      const { ips } = await host.succeed('ADD', { netns, config })
      expect(ips[0].address).toBe('10.77.0.2/30')
      await host.succeed('DEL', { netns, config })
    }
  })

  it('an interface that is there already is an error, and stays', async () => {
    const netns = host.namespace()
    await host.succeed('ADD', { netns })
    expect(await host.fail('ADD', { netns })).toMatchObject({
      code: 100,
      msg: expect.stringContaining('already'),
    })
    const before = await host.leftovers()
    expect(await host.fail('ADD', { netns, id: 'c2' })).toMatchObject({ code: 105 })
    expect(await host.leftovers()).toEqual(before)
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
  })

  it('nothing is left after a failed ADD, the bridge and the rules included', async () => {
    const netns = host.namespace()
    await run(netns, 'ip link add eth0 type veth peer name x')
    await host.fail('ADD', { netns, config: host.config({ macspoofchk: true, ...publish(port(8080)) }) })
    expect(await host.leftovers()).toEqual([])
    expect(await host.run('ip -o link')).not.toContain('cni0')
    expect(await host.run('nft list ruleset')).toBe('')
  })

  it('two networks of one container, and the same container name twice', async () => {
    const netns = host.namespace()
    const second = host.config({ name: 'net2', bridge: 'cni1', ipam: { subnet: '10.78.0.0/24' } })
    await host.succeed('ADD', { netns })
    const { ips } = await host.succeed('ADD', { netns, interface: 'eth1', config: second })
    expect(ips[0].address).toBe('10.78.0.2/24')
    await host.succeed('DEL', { netns })
    await run(netns, 'busybox ping -c1 -W2 10.78.0.1')
    await host.succeed('DEL', { netns, interface: 'eth1', config: second })
    expect(await host.leftovers()).toEqual([])
  })

  it('two networks that both are a way to everywhere: the first is it, and the other when that is gone', async () => {
    const netns = host.namespace()
    const ranges = [[{ subnet: '10.78.0.0/24' }], [{ subnet: 'fd00:78::/64' }]]
    const config = host.config({ name: 'net2', bridge: 'cni1', isDefaultGateway: true, ipam: { ranges } })
    await host.succeed('ADD', { netns })
    const second = { netns, interface: 'eth1', config }
    const prevResult = await host.succeed('ADD', second)
    const ways = async () => [
      (await run(netns, 'ip route get 192.0.2.9')).split(' ')[2],
      (await run(netns, 'ip -6 route get 2001:db8::9')).split(' ')[4],
    ]
    expect(await ways()).toEqual(['10.77.0.1', 'fd00:77::1'])
    // Of two ways of one rank the kernel takes the one whose gateway it knows to be there.
    await run(
      netns,
      'ip neigh replace 10.77.0.1 dev eth0 nud failed; ip neigh replace 10.78.0.1 lladdr 0a:00:00:00:00:01 dev eth1 nud reachable',
    )
    expect(await ways()).toEqual(['10.77.0.1', 'fd00:77::1'])
    await host.succeed('CHECK', { ...second, config: { ...config, prevResult } })
    await host.succeed('DEL', { netns })
    expect(await ways()).toEqual(['10.78.0.1', 'fd00:78::1'])
    await host.succeed('ADD', { netns })
    expect(await ways()).toEqual(['10.78.0.1', 'fd00:78::1']) // where its published ports lead too
    await host.succeed('DEL', second)
    expect(await ways()).toEqual(['10.77.0.1', 'fd00:77::1'])
  })
})

describe.skipIf(process.getuid?.() !== 0)('errors', { timeout: 60_000 }, () => {
  it('are numbered as the specification says', async () => {
    const netns = host.namespace()
    const config = (change: object) => ({ netns, config: host.config(change) })
    expect(await host.fail('ADD', config({ cniVersion: '9.9.9' }))).toMatchObject({
      code: 1,
      details: expect.stringContaining('1.1.0'),
    })
    expect(await host.fail('ADD', config({ link: 'ipvlan', ipMasq: true }))).toMatchObject({ code: 2 })
    expect(await host.fail('ADD', { netns: '/run/netns/nowhere' })).toMatchObject({ code: 3 })
    expect(await host.fail('ADD', { netns, id: '../x' })).toMatchObject({ code: 4 })
    expect(await host.fail('ADD', { netns, id: '' })).toMatchObject({
      code: 4,
      msg: expect.stringContaining('CNI_CONTAINERID'),
    })
    expect(await host.fail('FROB', { netns })).toMatchObject({ code: 4 })
    expect(await host.fail('ADD', { netns, config: '{' as unknown as object })).toMatchObject({
      code: 6,
      cniVersion: '1.1.0',
    })
    expect(await host.fail('ADD', config({ mtu: 'big' }))).toMatchObject({
      code: 7,
      msg: expect.stringContaining('mtu'),
    })
    expect(await host.fail('ADD', config({ ipam: { subnet: '10.77.0.1/24' } }))).toMatchObject({ code: 7 })
    expect(await host.fail('ADD', { netns: netnsPath(host.netns) })).toMatchObject({ code: 4 })
    expect(await host.fail('ADD', { netns, env: { CNI_ARGS: 'FOO=1' } })).toMatchObject({ code: 4 })
    expect(await host.fail('CHECK', { netns })).toMatchObject({
      code: 7,
      msg: expect.stringContaining('prevResult'),
    })
    expect(await host.fail('CHECK', config({ cniVersion: '0.3.1' }))).toMatchObject({ code: 1 })
    expect(await host.fail('GC', config({ cniVersion: '1.0.0' }))).toMatchObject({ code: 1 })
    expect(await host.fail('GC', config({}))).toMatchObject({
      code: 7,
      msg: expect.stringContaining('valid-attachments'),
    })
    expect(await host.call('ADD', config({ ipam: { type: 'no-such-ipam' } }))).toMatchObject({
      json: { code: 7, msg: expect.stringContaining('no-such-ipam') },
      stderr: '', // and nothing about addresses that were never given
    })
    expect(await host.leftovers()).toEqual([])
    expect(await host.run('ip -o link')).not.toContain('cni0')
  })
})

describe.skipIf(process.getuid?.() !== 0)('a configuration without a version', { timeout: 60_000 }, () => {
  it('is one of 0.1.0, for us and for the IPAM plugin', async () => {
    const netns = host.namespace()
    const address = { ip4: { ip: '10.77.0.2/24', gateway: '10.77.0.1', routes: [{ dst: '0.0.0.0/0' }] } }
    const config = host.config({
      cniVersion: undefined,
      ipam: { subnet: '10.77.0.0/24', routes: [{ dst: '0.0.0.0/0' }] },
    })
    expect(await host.succeed('ADD', { netns, config })).toEqual({ cniVersion: '0.1.0', ...address, dns: {} })
    await host.succeed('DEL', { netns, config })
    if (!existsSync('/usr/lib/cni/host-local')) return
    const ipam = { type: 'host-local', subnet: '10.77.0.0/24', dataDir: `${host.stateDir}/host-local` }
    const delegated = host.config({ cniVersion: undefined, ipam })
    expect(await host.succeed('ADD', { netns, config: delegated })).toMatchObject({
      ip4: { ip: '10.77.0.2/24', gateway: '10.77.0.1' },
    })
    await run(netns, 'busybox ping -c1 -W2 10.77.0.1')
    await host.succeed('DEL', { netns, config: delegated })
    expect(await host.leftovers()).toEqual([])
  })
})

describe.skipIf(process.getuid?.() !== 0)('VERSION and STATUS', { timeout: 60_000 }, () => {
  it('VERSION needs nothing but the command', async () => {
    const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']
    const env = { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '' }
    expect(await host.succeed('VERSION', { env, config: { cniVersion: '0.4.0' } })).toEqual({
      cniVersion: '0.4.0',
      supportedVersions: versions,
    })
    expect(await host.succeed('VERSION', { env, config: '' as unknown as object })).toMatchObject({
      supportedVersions: versions,
    })
  })

  it('STATUS says what is missing, and whose rules drop what is forwarded', async () => {
    expect(await host.succeed('STATUS')).toBeUndefined()
    const away = host.config({ ipMasq: false, link: 'macvlan', master: 'nowhere' })
    expect(await host.fail('STATUS', { config: away })).toMatchObject({
      code: 50,
      msg: expect.stringContaining('nowhere'),
    })
    await host.run(
      'nft add table ip filter; nft "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"',
    )
    expect(await host.fail('STATUS')).toMatchObject({
      code: 51,
      details: expect.stringContaining('iptables -I FORWARD -i cni0 -j ACCEPT'),
    })
    const { stderr } = await host.call('ADD', { netns: host.namespace() })
    expect(stderr).toContain('iptables -I FORWARD -i cni0 -j ACCEPT')
  })

  it.skipIf(!existsSync('/usr/sbin/iptables-legacy'))(
    'sees a FORWARD policy of iptables-legacy',
    async (context) => {
      const { status } = await attempt(host.netns, 'iptables-legacy -P FORWARD DROP')
      if (status !== 0) return context.skip('this kernel has no iptables-legacy')
      const { code, msg, details } = await host.fail('STATUS')
      expect([code, msg]).toEqual([51, expect.stringContaining('iptables-legacy')])
      // What it says to do, done, lets the container through.
      const netns = host.namespace()
      await host.neighbour()
      await host.succeed('ADD', { netns })
      expect((await attempt(netns, 'busybox ping -c1 -W1 192.0.2.2')).status).toBe(1)
      await host.run(details)
      await run(netns, 'busybox ping -c1 -W2 192.0.2.2')
    },
  )
})

describe.skipIf(process.getuid?.() !== 0)('CHECK', { timeout: 60_000 }, () => {
  it('is content with what ADD made, and says what is gone', async () => {
    const netns = host.namespace()
    const config = host.config(publish(port(8080)))
    const prevResult = await host.succeed('ADD', { netns, config })
    const checked = { netns, config: { ...config, prevResult } }
    await host.succeed('CHECK', checked)
    const breakages: [string, string, string][] = [
      ['ip route del default', 'ip route add default via 10.77.0.1', 'the route to 0.0.0.0/0 is gone'],
      [
        'ip addr del 10.77.0.2/24 dev eth0',
        'ip addr add 10.77.0.2/24 dev eth0; ip route add default via 10.77.0.1',
        'address 10.77.0.2/24 is gone',
      ],
    ]
    for (const [broken, mended, message] of breakages) {
      await run(netns, broken)
      expect(await host.fail('CHECK', checked)).toMatchObject({
        code: 106,
        msg: expect.stringContaining(message),
      })
      await run(netns, mended)
      await host.succeed('CHECK', checked)
    }
    const link = prevResult.interfaces[1].name
    await host.run(`ip link set ${link} nomaster`)
    expect((await host.fail('CHECK', checked)).msg).toContain('no port of bridge cni0')
    await host.run(`ip link set ${link} master cni0; ip addr del 10.77.0.1/24 dev cni0`)
    expect((await host.fail('CHECK', checked)).msg).toContain('lost its address 10.77.0.1')
    await host.run(`ip link del ${link}`)
    expect((await host.fail('CHECK', checked)).msg).toMatch(/interface eth0 is gone.*link hf\w+ is gone/)
  })

  it('sees what somebody changed of the links: port flags, MTU, MAC addresses, which ends belong together', async () => {
    const netns = host.namespace()
    const config = host.config({ portIsolation: true, mtu: 1400, ...publish(port(8080)) })
    const prevResult = await host.succeed('ADD', { netns, config })
    const check = { netns, config: { ...config, prevResult } }
    await host.succeed('CHECK', check)
    const [bridge, { name: link, mac }] = prevResult.interfaces
    const localnet = 'echo $0 > /proc/sys/net/ipv4/conf/cni0/route_localnet'
    const breakages: [string, string, string][] = [
      [`bridge link set dev ${link} hairpin off`, `bridge link set dev ${link} hairpin on`, 'hairpin mode'],
      [`bridge link set dev ${link} isolated off`, `bridge link set dev ${link} isolated on`, 'not isolated'],
      [`ip link set ${link} mtu 1300`, `ip link set ${link} mtu 1400`, 'has an MTU of 1300, not 1400'],
      [`ip link set ${link} address 0a:0:0:0:0:9`, `ip link set ${link} address ${mac}`, `not ${mac}`],
      [
        'ip link set cni0 address 0a:0:0:0:0:9',
        `ip link set cni0 address ${bridge.mac}`,
        `not ${bridge.mac}`,
      ],
      [localnet.replace('$0', '0'), localnet.replace('$0', '1'), 'route_localnet is 0'],
      ['sysctl -qw net.ipv4.ip_forward=0', 'sysctl -qw net.ipv4.ip_forward=1', 'net.ipv4.ip_forward is 0'],
    ]
    for (const [broken, mended, message] of breakages) {
      await host.run(broken)
      const { code, msg } = await host.fail('CHECK', check)
      expect([code, msg.split('; ')]).toEqual([106, [expect.stringContaining(message)]])
      await host.run(mended)
      await host.succeed('CHECK', check)
    }
    await run(netns, 'ip link set eth0 mtu 1280')
    expect((await host.fail('CHECK', check)).msg).toBe('interface eth0 has an MTU of 1280, not 1400')
    prevResult.interfaces[2].mtu = 1280 // as a later plugin of the chain tells of it
    await host.succeed('CHECK', check)
    await run(
      netns,
      `ip link set eth0 down; ip link set eth0 name old; ip link add eth0 mtu 1280 type veth peer name other
       ip link set eth0 address ${prevResult.interfaces[2].mac}; ip link set other up; ip link set eth0 up`,
    )
    expect((await host.fail('CHECK', check)).msg).toContain(`${link} does not lead to eth0 any more`)
  })

  it('sees that a bridge hears no longer every frame', async () => {
    const netns = host.namespace()
    const config = host.config({ promiscMode: true })
    const prevResult = await host.succeed('ADD', { netns, config })
    await host.succeed('CHECK', { netns, config: { ...config, prevResult } })
    await host.run('ip link set cni0 promisc off')
    expect((await host.fail('CHECK', { netns, config: { ...config, prevResult } })).msg).toBe(
      'bridge cni0 is not in promiscuous mode any more',
    )
  })

  it('goes by the MAC address that a later plugin of the chain gave, and told', async () => {
    const netns = host.namespace()
    const config = host.config()
    const prevResult = await host.succeed('ADD', { netns, config })
    await run(netns, 'ip link set eth0 address 0a:00:00:00:00:09')
    const check = { netns, config: { ...config, prevResult } }
    expect((await host.fail('CHECK', check)).msg).toContain('has MAC address 0a:00:00:00:00:09')
    prevResult.interfaces[2].mac = '0a:00:00:00:00:09'
    await host.succeed('CHECK', check)
  })

  it('finds routes that a later plugin of the chain, as sbr does, moved to a table of its own', async () => {
    const netns = host.namespace()
    const config = host.config()
    const prevResult = await host.succeed('ADD', { netns, config })
    const moved =
      'ip route add default via 10.77.0.1 table 100; ip -6 route add default via fd00:77::1 table 100'
    await run(netns, `${moved}; ip route flush table main; ip -6 route flush table main`)
    await host.succeed('CHECK', { netns, config: { ...config, prevResult } })
  })

  it('writes rules again that somebody flushed', async () => {
    const netns = host.namespace()
    const config = host.config({ macspoofchk: true, ...publish(port(8080)) })
    const prevResult = await host.succeed('ADD', { netns, config })
    await host.serve(netns, 'web', 80)
    for (const flush of [
      'nft flush ruleset',
      'nft flush table inet hf-cni',
      'nft flush chain inet hf-cni postrouting',
      'nft flush map inet hf-cni publish4_any',
      'nft delete table bridge hf-cni',
    ]) {
      const before = await host.run('nft list ruleset | sort')
      await host.run(flush)
      const { status, stderr } = await host.call('CHECK', { netns, config: { ...config, prevResult } })
      expect([status, stderr]).toEqual([0, expect.stringContaining('repaired')])
      expect(await host.run('nft list ruleset | sort')).toBe(before)
      expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
    }
  })

  it('an ADD after a flush brings the rules back, and the next CHECK the ports of the others', async () => {
    const [a, b] = [host.namespace(), host.namespace()]
    const config = host.config(publish(port(8080)))
    const prevResult = await host.succeed('ADD', { netns: a, config })
    await host.serve(a, 'a', 80)
    await host.run('nft flush ruleset')
    await host.succeed('ADD', { id: 'c2', netns: b, config: host.config(publish(port(8081))) })
    await host.serve(b, 'b', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8081)).toBe('b 10.77.0.1')
    await host.succeed('CHECK', { netns: a, config: { ...config, prevResult } })
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('a 10.77.0.1')
  })
})

describe.skipIf(process.getuid?.() !== 0)('GC', { timeout: 60_000 }, () => {
  const valid = (...ids: string[]) => ({
    'cni.dev/valid-attachments': ids.map((containerID) => ({ containerID, ifname: 'eth0' })),
  })

  it('removes what the runtime does not know, keeps the rest, and says nothing', async () => {
    const [a, b] = [host.namespace(), host.namespace()]
    await host.succeed('ADD', { id: 'a', netns: a, config: host.config(publish(port(8080))) })
    await host.succeed('ADD', { id: 'b', netns: b, config: host.config(publish(port(8081))) })
    const other = host.config({ name: 'net2', bridge: 'cni1', ipam: { subnet: '10.78.0.0/24' } })
    await host.succeed('ADD', {
      id: 'x',
      netns: host.namespace(),
      config: { ...other, ...publish(port(8082)) },
    })
    expect(await host.succeed('GC', { config: host.config(valid('b')) })).toBeUndefined()
    const left = (await host.leftovers()).join(' ')
    expect(left).not.toMatch(/10\.77\.0\.2|a:eth0|8080/)
    expect(left).toMatch(/10\.77\.0\.3.*b:eth0.*x:eth0|b:eth0.*10\.77\.0\.3/s)
    await host.serve(b, 'b', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8081)).toBe('b 10.77.0.1')
    expect(left).toContain('8082')
  })

  it('removes strays that no record tells of, and the network when nothing is left', async () => {
    await host.succeed('ADD', { id: 'a', netns: host.namespace(), config: host.config(publish(port(8080))) })
    await host.run(`find ${host.cni} -path '*attachments/*' -delete`)
    await host.run('ip link add hfffffffffffff type veth peer name foreign; ip link set foreign up')
    await host.succeed('GC', { config: host.config(valid()) })
    expect(await host.leftovers()).toEqual(['hfffffffffffff']) // not ours: it has no mark
    expect(await host.run('ip -o link')).not.toContain('cni0')
    expect(await host.run('nft list ruleset')).toBe('')
    await host.succeed('GC', { config: host.config(valid()) })
  })

  it('writes rules again that somebody flushed', async () => {
    const netns = host.namespace()
    await host.succeed('ADD', { id: 'a', netns, config: host.config(publish(port(8080))) })
    await host.serve(netns, 'a', 80)
    await host.run('nft flush ruleset')
    await host.succeed('GC', { config: host.config(valid('a')) })
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('a 10.77.0.1')
  })

  it('leaves a bridge alone that was there before', async () => {
    await host.run('ip link add cni0 type bridge; ip link set cni0 up')
    await host.succeed('ADD', { id: 'a', netns: host.namespace() })
    await host.succeed('GC', { config: host.config(valid()) })
    expect(await host.run('ip -o link')).toContain('cni0')
  })
})
