import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { diagnoseHost } from '../src/index.ts'
import { TestHost } from './network-fixture.ts'

let host: TestHost

beforeEach(async () => {
  host = await TestHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

describe.skipIf(process.getuid?.() !== 0)('diagnoseHost', () => {
  it('finds this host able, and changes nothing on it', async () => {
    const before = await host.run('ip -o link; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward')
    const checks = await diagnoseHost(host.netns)
    expect(checks.filter(({ ok }) => !ok)).toEqual([])
    expect(checks.map(({ check }) => check)).toContain('egress policies')
    expect(await host.run('ip -o link; nft list ruleset; cat /proc/sys/net/ipv4/ip_forward')).toBe(before)
  })

  it('names a FORWARD policy of DROP and IPv6 that is switched off, with the fix', async () => {
    await host.run(`nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; add chain ip filter DOCKER-USER'
      echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6`)
    const checks = new Map((await diagnoseHost(host.netns)).map((check) => [check.check, check]))
    expect(checks.get('forwarding')).toEqual({
      check: 'forwarding',
      ok: false,
      detail: 'dropped by table ip filter, chain FORWARD',
      fix: 'iptables -I DOCKER-USER -i BRIDGE -j ACCEPT && iptables -I DOCKER-USER -o BRIDGE -j ACCEPT',
    })
    expect(checks.get('IPv6')).toMatchObject({ ok: false, fix: 'sysctl -w net.ipv6.conf.all.disable_ipv6=0' })
  })
})

describe.skipIf(process.getuid?.() !== 0)('openBridgeNetwork', () => {
  it('warns where the host drops what is forwarded, and the fix that it gives works', async () => {
    await host.run('iptables -P FORWARD DROP; iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER')
    const outside = await host.neighbour()
    const network = await host.open()
    expect(network.warnings).toHaveLength(1)
    const a = await host.container(network)
    await host.serve(outside, 'outside', 80)
    const { fetchTcp } = await import('./network-fixture.ts')
    expect(await fetchTcp(a.netns, '192.0.2.2', 80, 1)).toBe('')
    await host.run(network.warnings[0]!.split(': ')[1]!)
    expect(await fetchTcp(a.netns, '192.0.2.2', 80)).toBe('outside 192.0.2.1')
  })
})
