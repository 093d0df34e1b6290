import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Attachment, BridgeNetwork } from '../src/index.ts'
import { fetchTcp, run, TestHost } from './network-fixture.ts'

let host: TestHost

beforeEach(async () => {
  host = await TestHost.create()
})

afterEach(async () => {
  await host[Symbol.asyncDispose]()
})

/**
 * Runs the worker until it has attached at least once and `milliseconds` passed, kills it; what it said was
 * attached.
 */
async function crash(containers: number[], milliseconds: number): Promise<Attachment[]> {
  const worker = spawn(
    process.execPath,
    [
      '--conditions=@holdfast/source',
      fileURLToPath(new URL('crash-worker.ts', import.meta.url)),
      `${host.stateDir}/leases`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit', host.netns, ...containers] },
  )
  const ended = once(worker, 'close')
  const living = new Map<string, Attachment>()
  const lines = createInterface(worker.stdout!)
  const attached = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      const [, word, rest] = /^(\w+) ?(.*)$/.exec(line)!
      if (word === 'leaving') living.delete(rest!)
      if (word !== 'attached') return
      const attachment = JSON.parse(rest!) as Attachment
      living.set(attachment.id, attachment)
      resolve()
    })
  })
  await attached
  await new Promise((resolve) => setTimeout(resolve, milliseconds)) // the moment of the kill is arbitrary
  worker.kill('SIGKILL')
  await ended
  return [...living.values()]
}

async function expectExactly(living: Attachment[]): Promise<void> {
  const links = JSON.parse(await host.run('ip -j link')) as { ifname: string }[]
  expect(links.map(({ ifname }) => ifname).sort()).toEqual(
    ['hf0', 'lo', ...living.map(({ hostInterface }) => hostInterface)].sort(),
  )
  const rules = JSON.parse(await host.run('nft -j list map inet hft publish4_any')) as {
    nftables: { map?: { elem?: unknown[] } }[]
  }
  const elements = rules.nftables.flatMap(({ map }) => map?.elem ?? [])
  expect(elements).toHaveLength(living.length)
}

describe.skipIf(process.getuid?.() !== 0)('after kill -9', () => {
  it('at any moment, restore keeps what lives and removes the rest', { timeout: 180_000 }, async () => {
    const keep = host.namespace()
    for (const milliseconds of [0, 3, 9, 20, 45, 80]) {
      const containers = Array.from({ length: 6 }, () => host.namespace())
      const living = (await crash(containers, milliseconds)).slice(0, 3)
      const network = await host.open()
      const report = await network.restore(living)
      await expectExactly(living)
      for (const attachment of living) {
        const netns = containers[Number(/^n(\d+)/.exec(attachment.id)![1]) - 4]!
        await host.serve(netns, attachment.id, 80)
        const answer = await fetchTcp(host.netns, '127.0.0.1', attachment.ports[0]!.hostPort)
        expect(answer).toBe(`${attachment.id} 10.77.0.1`)
      }
      expect(report.filter((line) => line.startsWith('missing'))).toEqual([])
      // Leases: no address of the living is handed out again.
      const next = await network.attach({ id: 'next', netns: keep, interface: `k${milliseconds}` })
      expect(living.flatMap(({ addresses }) => addresses.map(({ address }) => address))).not.toContain(
        next.addresses[0]!.address,
      )
      for (const attachment of [...living, next]) await network.detach(attachment, { wait: true })
      await expectExactly([])
      await network.close()
    }
  })
})

describe.skipIf(process.getuid?.() !== 0)('restore', () => {
  async function reopened(network: BridgeNetwork): Promise<BridgeNetwork> {
    await network.close()
    return host.open()
  }

  it('takes up links, ports and leases of the living, and says what it removed', async () => {
    let network = await host.open()
    const [a, b] = [
      await host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }]),
      await host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8081 }]),
    ]
    await host.serve(a.netns, 'a', 80)
    network = await reopened(network)
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('a 10.77.0.1') // nobody held it meanwhile
    const report = await network.restore([a.attachment])
    expect(report.sort()).toEqual([
      'lease of 10.77.0.3 to c2',
      'lease of fd00:77::3 to c2',
      `link ${b.attachment.hostInterface} of c2 eth0`,
      'published port tcp 8081 → 10.77.0.3 port 80',
      'published port tcp 8081 → fd00:77::3 port 80',
    ])
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('a 10.77.0.1')
    await expect(
      host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }]),
    ).rejects.toMatchObject({
      details: { holder: { container: 'c1' } },
    })
    await host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8081 }])
    expect(await network.restore([a.attachment])).not.toEqual([])
    expect(await network.restore([a.attachment])).toEqual([])
  })

  it('puts the living back on a bridge that was deleted, and writes rules that were flushed', async () => {
    let network = await host.open()
    const a = await host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }])
    await host.serve(a.netns, 'a', 80)
    await host.run('ip link delete hf0; nft flush ruleset')
    network = await reopened(network)
    expect(await network.restore([a.attachment])).toEqual([])
    expect(await fetchTcp(host.netns, '127.0.0.1', 8080)).toBe('a 10.77.0.1')
  })

  it('names a link that is missing and a port that somebody else took', async () => {
    let network = await host.open()
    const a = await host.container(network, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }])
    await network.close()
    await host.run(`ip link delete ${a.attachment.hostInterface}`)
    await host.serve(host.netns, 'thief', 8080)
    network = await host.open()
    expect((await network.restore([a.attachment])).sort()).toEqual([
      expect.stringMatching(/^missing: link hf/),
      'port 0.0.0.0:8080/tcp of c1 was bound by another process meanwhile',
    ])
  })

  it('touches nothing that is not this network’s', async () => {
    const network = await host.open()
    const other = await host.open({
      name: 'other',
      bridge: 'hf1',
      stateDir: `${host.stateDir}/other`,
      subnets: [{ subnet: '10.78.0.0/24' }],
    })
    const stranger = await host.container(other, [{ protocol: 'tcp', containerPort: 80, hostPort: 8080 }])
    await host.run(`ip link add hfffffffffffff type veth peer name foreign; ip link set hfffffffffffff master hf0
      nft 'add table inet foreign; add chain inet foreign x { type filter hook input priority 0; }'`)
    const before = await host.run('ip -o link; nft list ruleset')
    expect(await network.restore([])).toEqual([])
    expect(await host.run('ip -o link; nft list ruleset')).toBe(before)
    await run(stranger.netns, 'busybox ping -c1 -W1 10.78.0.1')
  })

  it('frees the addresses of namespaces that died unseen', async () => {
    const network = await host.open({ subnets: [{ subnet: '10.77.0.0/30' }] })
    const { createNamespace } = await import('@holdfast/core')
    const netns = createNamespace('net')
    await network.attach({ id: 'dead', netns, interface: 'eth0' })
    closeSync(netns)
    expect(await network.restore([])).toContain('lease of 10.77.0.2 to dead')
    await network.attach({ id: 'next', netns: host.namespace(), interface: 'eth0' })
  })
})
