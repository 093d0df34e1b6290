import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CniHost, netnsPath, withoutHelper } from './cni-fixture.ts'
import { fetchTcp } from './network-fixture.ts'

let host: CniHost

beforeEach(async () => {
  host = await CniHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

const publishing = (hostPort: number) => ({
  macspoofchk: true,
  runtimeConfig: {
    portMappings: [{ hostPort, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { egressRate: 100_000_000 },
  },
})

// Of the helper: cni-helper.root.test.ts.
describe.skipIf(process.getuid?.() !== 0)('after kill -9 of Node at any moment', { timeout: 240_000 }, () => {
  it('of ADD or DEL, the next DEL leaves nothing, and the next ADD works', async () => {
    const netns = host.namespace()
    const call = { netns, config: host.config(publishing(8080)), env: withoutHelper }
    await host.succeed('ADD', call) // the bridge and the rules are there from now on
    const whole = { DEL: await host.duration('DEL', call), ADD: await host.duration('ADD', call) }
    await host.succeed('DEL', call)
    const rounds = 14
    let killed = 0
    for (let round = 0; round < rounds; round++) {
      // Starting Node takes the first half, in which there is nothing to leave.
      const part = 0.4 + (0.6 * round) / rounds
      for (const command of round % 2 === 0 ? (['ADD', 'DEL'] as const) : (['ADD'] as const)) {
        if (await host.kill(command, call, whole[command] * part)) killed++
        else whole[command] *= 0.8 // the machine was busier when it was measured
      }
      await host.succeed('DEL', round % 3 === 0 ? { config: call.config } : call)
      expect([round, await host.leftovers()]).toEqual([round, []])
    }
    expect(killed).toBeGreaterThan(rounds / 2)
    await host.succeed('ADD', call)
    await host.serve(netns, 'web', 80)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('web 10.77.0.1')
  })

  it('of ADD, GC removes what was half made, and another ADD of the same container takes over', async () => {
    const netns = host.namespace()
    const call = { netns, config: host.config(publishing(8080)), env: withoutHelper }
    const whole = await host.duration('ADD', call)
    await host.succeed('DEL', call)
    for (let round = 0; round < 6; round++) {
      await host.kill('ADD', call, whole * (0.5 + round / 12))
      if (round % 2 === 0) {
        await host.succeed('GC', { config: host.config({ 'cni.dev/valid-attachments': [] }) })
        expect([round, await host.leftovers()]).toEqual([round, []])
        expect(await host.run('nft list ruleset')).toBe('')
      } else {
        const { status, json } = await host.call('ADD', call) // unless the kill came too late
        expect(status === 0 || json.msg.includes('already')).toBe(true)
        await host.succeed('DEL', call)
        expect(await host.leftovers()).toEqual([])
      }
    }
  })
})

describe.skipIf(process.getuid?.() !== 0)('at once', { timeout: 600_000 }, () => {
  const count = 200

  it(`${count} ADDs in as many processes give working attachments, each with an address of its own`, async () => {
    const config = (at: number) =>
      host.config({
        ipam: { ranges: [[{ subnet: '10.77.0.0/22' }]], routes: [{ dst: '0.0.0.0/0' }] },
        runtimeConfig: { portMappings: [{ hostPort: 20_000 + at, containerPort: 80, protocol: 'tcp' }] },
      })
    const all = Array.from({ length: count }, (_, at) => ({
      id: `c${at}`,
      netns: host.namespace(),
      config: config(at),
    }))
    const results = await Promise.all(all.map((call) => host.succeed('ADD', call)))
    const addresses = results.map(({ ips }) => ips[0].address as string)
    expect(new Set(addresses).size).toBe(count)
    const paths = all.map(({ netns }) => netnsPath(netns)).join(' ')
    await host.run(
      `for netns in ${paths}; do nsenter --net=$netns busybox ping -c1 -W5 10.77.0.1 >/dev/null; done`,
    )
    for (const at of [0, 99, count - 1]) {
      await host.serve(all[at]!.netns, `web${at}`, 80)
      expect(await fetchTcp(host.netns, '127.0.0.1', 20_000 + at)).toBe(`web${at} 10.77.0.1`)
    }
    await Promise.all(
      all.map(({ id, netns, config: each }, at) =>
        host.succeed('DEL', { id, config: each, ...(at % 2 === 0 && { netns }) }),
      ),
    )
    expect(await host.leftovers()).toEqual([])
  })

  it('ADDs that want one address get it once', async () => {
    const config = host.config({ runtimeConfig: { ips: ['10.77.0.9'] } })
    const calls = Array.from({ length: 8 }, (_, at) =>
      host.call('ADD', { id: `c${at}`, netns: host.namespace(), config }),
    )
    const statuses = (await Promise.all(calls)).map(({ status, json }) => (status === 0 ? 0 : json.code))
    expect(statuses.sort((a, b) => a - b)).toEqual([0, 102, 102, 102, 102, 102, 102, 102])
  })

  it('ADD and DEL of one container, however they meet, end in order', async () => {
    const netns = host.namespace()
    for (let round = 0; round < 3; round++) {
      await Promise.all([host.call('ADD', { netns }), host.call('DEL', { netns }), host.call('DEL', {})])
      await host.succeed('DEL', { netns })
      expect(await host.leftovers()).toEqual([])
    }
  })
})
