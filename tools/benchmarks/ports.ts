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
const rows: string[][] = []
try {
  const [single, holdfast] = [await openHoldfast('one'), await openHoldfast('many')]
  const docker = hasDocker && dockerUpTo > 0 ? await openDocker(scratch) : undefined
  try {
    for (const side of [single, holdfast]) {
      await side.publishAll(1)
      await measure(figures(), side, firstPort) // warms up
    }
    await docker?.startWith(0) // warms up
    const empty = await docker?.startWith(0)
    for (const count of counts) {
      process.stderr.write(`measuring: ${count} ports\n`)
      const all = await holdfast.publishAll(count)
      // So many changes at once overflow the buffer of notifications, and the network looks whether all is well.
      await delay(1_000)
      const withDocker = docker && count <= dockerUpTo ? docker : undefined
      const start = await withDocker?.startWith(count)
      const [ours, one, theirs]: [Figures, Figures, Figures] = [figures(), figures(), figures()]
      for (let round = 0; round < rounds; round++) {
        await measure(one, single, firstPort)
        await measure(ours, holdfast, firstPort + count - 1)
        if (withDocker) theirs.connect.push(await connectTime(withDocker.world(), firstPort + count - 1))
      }
      rows.push([
        String(count),
        shown(all),
        shown(median(ours.wall)),
        shown(median(ours.cpu)),
        `× ${(median(ours.cpu) / median(one.cpu)).toFixed(2)}`,
        shown(median(ours.connect)),
        `× ${(median(ours.connect) / median(one.connect)).toFixed(2)}`,
        start === undefined ? '' : shown(start - empty!),
        withDocker ? shown(median(theirs.connect)) : '',
        withDocker ? `× ${(median(theirs.connect) / median(one.connect)).toFixed(2)}` : '',
      ])
    }
    print()
  } finally {
    for (const side of [single, holdfast]) await side.close()
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

interface Figures {
  wall: number[]
  cpu: number[]
  connect: number[]
}

function figures(): Figures {
  return { wall: [], cpu: [], connect: [] }
}

async function measure(
  into: Figures,
  side: Awaited<ReturnType<typeof openHoldfast>>,
  port: number,
): Promise<void> {
  const { wall, cpu } = await side.oneMore()
  into.wall.push(wall)
  into.cpu.push(cpu)
  into.connect.push(await connectTime(side.world, port))
}

/** `name`: of a network with a host of its own. */
async function openHoldfast(name: string) {
  const host = createNamespace('net')
  const container = createNamespace('net')
  const client = nextDoor(host)
  const network: BridgeNetwork = await openBridgeNetwork({
    name: 'ports',
    bridge: 'hf0',
    table: 'ports',
    subnets: [{ subnet: '10.213.250.0/24' }],
    stateDir: join(scratch, name),
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
      for (let round = 0; round < 40; round++) {
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

function shown(milliseconds: number): string {
  return milliseconds >= 100 ? `${Math.round(milliseconds)} ms` : `${milliseconds.toPrecision(3)} ms`
}

function print(): void {
  const heads = [
    'ports',
    'publish all',
    'one more, and back',
    'CPU time',
    'against 1 port',
    'connect',
    'against 1 port',
    'dockerd: ports at start',
    'connect',
    "against Holdfast's 1",
  ]
  for (const line of [heads, heads.map((head) => '-'.repeat(head.length)), ...rows])
    console.log(`| ${line.map((cell, column) => cell.padEnd(heads[column]!.length)).join(' | ')} |`)
  console.log(`\n${cpus().length} × ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}`)
}
