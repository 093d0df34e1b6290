// What a published port costs when there are many of them: publishing all in one call, one more, withdrawing it, and a
// connection to the last one from next door. Holdfast's network library up to 5,000 ports, Debian's dockerd (its own
// iptables chains, without docker-proxy) up to 500, both with the same three namespaces: client, host, container.
// CPU time is that of this process, system calls included; it is what a busy machine leaves comparable.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { closeFd, createNamespace, openSocketIn, watchFd } from '../../packages/core/dist/index.js'
import {
  openBridgeNetwork,
  type Attachment,
  type BridgeNetwork,
  type PublishedPort,
} from '../../packages/network/dist/index.js'
import { openDocker } from './ports-dockerd.ts'
import { firstPort, median, nextDoor, rounds, type World } from './ports-world.ts'

const { values: options } = parseArgs({
  options: {
    counts: { type: 'string', default: '1,10,100,500,1000,5000' },
    'docker-up-to': { type: 'string', default: '500' },
  },
})
const counts = options.counts.split(',').map(Number)
const dockerUpTo = Number(options['docker-up-to'])
const connectionsPerRound = 200

const scratch = mkdtempSync('/var/tmp/hfports-')
const hasDocker = spawnSync('dockerd', ['--version']).status === 0
const rows: (number | undefined)[][] = []
try {
  const holdfast = await openHoldfast()
  const docker = hasDocker && dockerUpTo > 0 ? await openDocker(scratch) : undefined
  try {
    await holdfast.publishAll(counts[0]!)
    await holdfast.oneMore() // warms up
    await connectTime(holdfast.world, firstPort)
    const empty = await docker?.startWith(0)
    for (const count of counts) {
      process.stderr.write(`measuring: ${count} ports\n`)
      const all = await holdfast.publishAll(count)
      // So many changes at once overflow the buffer of notifications, and the network looks whether all is well.
      await delay(1_000)
      const withDocker = docker && count <= dockerUpTo ? docker : undefined
      const start = await withDocker?.startWith(count)
      const more = await holdfast.oneMore()
      const connect = { ours: [] as number[], theirs: [] as number[] }
      for (let round = 0; round < rounds; round++) {
        connect.ours.push(await connectTime(holdfast.world, firstPort + count - 1))
        if (withDocker) connect.theirs.push(await connectTime(withDocker.world(), firstPort + count - 1))
      }
      rows.push([
        count,
        all,
        more.wall,
        more.cpu,
        median(connect.ours),
        start === undefined ? undefined : start - empty!,
        withDocker ? median(connect.theirs) : undefined,
      ])
    }
    print()
  } finally {
    await holdfast.close()
    await docker?.close()
  }
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

/** Median of a round's connections, milliseconds from SYN to established; nobody accepts, so nobody is in the way. */
async function connectTime({ client, container, host }: World, port: number): Promise<number> {
  const listener = openSocketIn(container, {
    family: 'inet',
    type: 'stream',
    bind: { address: '0.0.0.0', port: 80 },
    listen: 4_096,
    reuse: true,
  })
  const times: number[] = []
  for (let index = 0; index < connectionsPerRound; index++) {
    const begin = performance.now()
    const fd = openSocketIn(client, { family: 'inet', type: 'stream', connect: { address: host, port } })
    await writable(fd)
    times.push(performance.now() - begin)
    closeFd(fd)
  }
  closeFd(listener)
  return median(times)
}

function writable(fd: number): Promise<void> {
  return new Promise((resolve) => {
    const watch = watchFd(fd, { writable: true }, () => {
      watch.close()
      resolve()
    })
  })
}

async function openHoldfast() {
  const host = createNamespace('net')
  const container = createNamespace('net')
  const client = nextDoor(host)
  const network: BridgeNetwork = await openBridgeNetwork({
    name: 'ports',
    bridge: 'hf0',
    table: 'ports',
    subnets: [{ subnet: '10.213.250.0/24' }],
    stateDir: join(scratch, 'leases'),
    ipMasq: true,
    hostNetns: host,
  })
  const attachment: Attachment = await network.attach({ id: 'web', netns: container, interface: 'eth0' })
  const mapping = (hostPort: number) => ({
    protocol: 'tcp' as const,
    containerPort: 80,
    hostPort,
    hostIp: '0.0.0.0',
  })
  let published: PublishedPort[] = []
  return {
    world: { client, container, host: '192.0.2.1' },
    /** In one call, in place of those before; milliseconds. */
    async publishAll(count: number): Promise<number> {
      await network.unpublish(attachment, published)
      const mappings = Array.from({ length: count }, (_, index) => mapping(firstPort + index))
      const begin = performance.now()
      published = await network.publish(attachment, mappings)
      return performance.now() - begin
    },
    /** Publishing one more and withdrawing it: the median of both together, and the mean of their CPU time. */
    async oneMore(): Promise<{ wall: number; cpu: number }> {
      const times: number[] = []
      const before = process.cpuUsage()
      for (let round = 0; round < 20 * rounds; round++) {
        const begin = performance.now()
        await network.unpublish(attachment, await network.publish(attachment, [mapping(9_999)]))
        times.push(performance.now() - begin)
      }
      const { user, system } = process.cpuUsage(before)
      return { wall: median(times), cpu: (user + system) / 1_000 / times.length }
    },
    async close(): Promise<void> {
      await network.detach(attachment, { wait: true })
      await network.remove()
      for (const netns of [host, container, client]) closeSync(netns)
    },
  }
}

function print(): void {
  const heads = [
    'ports',
    'publish all',
    'one more, and back',
    '(CPU time)',
    'connect',
    'dockerd: ports at start',
    'connect',
  ]
  const cells = rows.map(([count, ...times]) => [
    String(count),
    ...times.map((time) => (time === undefined ? '' : `${time.toPrecision(3)} ms`)),
  ])
  for (const line of [heads, heads.map((head) => '-'.repeat(head.length)), ...cells])
    console.log(`| ${line.map((cell, column) => cell.padEnd(heads[column]!.length)).join(' | ')} |`)
  const [first, last] = [rows[0]!, rows.at(-1)!]
  const growth = [2, 3, 4].map((column) => (last[column]! / first[column]!).toFixed(2))
  console.log(
    `\nHoldfast, ${last[0]} ports against ${first[0]}: one more × ${growth[0]} (CPU × ${growth[1]}), connect × ${growth[2]}`,
  )
  console.log(`${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}`)
}
