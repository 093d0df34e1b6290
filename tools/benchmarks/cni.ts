// Measures the CNI plugin beside Debian's reference plugins (containernetworking-plugins), each call a process of its
// own as a runtime makes it, in turn and in one run; and the library within this process. In a network and a mount
// namespace of its own. `tools/bench --only cni [--rounds 20] [--markdown]`
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '20' },
    markdown: { type: 'boolean' },
    only: { type: 'string' },
    inside: { type: 'boolean' },
  },
})
const rounds = Number(options.rounds)
const throughputRounds = 8
const reference = '/usr/lib/cni'
const plugin = fileURLToPath(new URL('../holdfast-bridge', import.meta.url))

if (!existsSync(`${reference}/bridge`)) {
  console.error(
    'tools/bench: no reference plugins to compare with; apt-get install containernetworking-plugins',
  )
  process.exit(1)
}
if (!options.inside) {
  const script = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && exec "$@"'
  const { status } = spawnSync(
    'unshare',
    ['-n', '-m', 'sh', '-c', script, 'sh', process.execPath, ...process.argv.slice(1), '--inside'],
    { stdio: 'inherit' },
  )
  process.exit(status ?? 1)
}

const library = await import(import.meta.resolve('../../packages/network/dist/index.js'))

const ports = { portMappings: [{ hostPort: 18_080, containerPort: 80, protocol: 'tcp' }] }
const common = { cniVersion: '1.0.0', isGateway: true, ipMasq: true }
const referenceConfig = {
  ...common,
  name: 'reference',
  type: 'bridge',
  bridge: 'ref0',
  ipam: {
    type: 'host-local',
    dataDir: '/run/host-local',
    subnet: '10.99.0.0/16',
    routes: [{ dst: '0.0.0.0/0' }],
  },
}
const portmapConfig = { cniVersion: '1.0.0', name: 'reference', type: 'portmap', runtimeConfig: ports }
const ownConfig = {
  ...common,
  name: 'own',
  type: 'holdfast-bridge',
  bridge: 'own0',
  ipam: { subnet: '10.98.0.0/16', routes: [{ dst: '0.0.0.0/0' }] },
}

interface Pair {
  add: number[]
  del: number[]
}
const rows: Record<string, Pair> = {}

interface Container {
  id: string
  netns: string
}

let count = 0
await inTurn(rounds + 1)
print()
await throughput()
rmSync('/run/holdfast-bridge', { recursive: true, force: true })

/** The first round of each makes bridge and rules, and is not counted. */
async function inTurn(times: number): Promise<void> {
  for (let round = 0; round < times; round++) {
    const counted = round > 0
    measure(
      'reference bridge + host-local',
      counted,
      (c) => call(`${reference}/bridge`, 'ADD', referenceConfig, c),
      (c) => call(`${reference}/bridge`, 'DEL', referenceConfig, c),
    )
    measure('reference bridge + host-local + portmap', counted, addReferencePorts, (c) => {
      call(`${reference}/portmap`, 'DEL', portmapConfig, c)
      call(`${reference}/bridge`, 'DEL', referenceConfig, c)
    })
    measure(
      'holdfast-bridge',
      counted,
      (c) => call(plugin, 'ADD', ownConfig, c),
      (c) => call(plugin, 'DEL', ownConfig, c),
    )
    const published = { ...ownConfig, runtimeConfig: ports }
    measure(
      'holdfast-bridge, a port published',
      counted,
      (c) => call(plugin, 'ADD', published, c),
      (c) => call(plugin, 'DEL', published, c),
    )
    await measureLibrary(counted)
    measure(
      'holdfast-bridge, Node for each call',
      counted,
      (c) => call(plugin, 'ADD', ownConfig, c, 'none'),
      (c) => call(plugin, 'DEL', ownConfig, c, 'none'),
    )
    await measureCold(counted, round)
  }
}

/** A helper to start for the ADD, whose DEL finds it; and one for each of both. */
async function measureCold(counted: boolean, round: number): Promise<void> {
  const directories = ['pair', 'add', 'del'].map((which) => `/run/cold-${which}-${round}`)
  const [pair, add, del] = directories
  measure(
    'holdfast-bridge, ADD starts the helper',
    counted,
    (c) => call(plugin, 'ADD', ownConfig, c, pair),
    (c) => call(plugin, 'DEL', ownConfig, c, pair),
  )
  measure(
    'holdfast-bridge, both start one',
    counted,
    (c) => call(plugin, 'ADD', ownConfig, c, add),
    (c) => call(plugin, 'DEL', ownConfig, c, del),
  )
  for (const directory of directories) rmSync(directory, { recursive: true }) // which ends it
  await delay(500)
}

function addReferencePorts(container: Container): void {
  const prevResult = JSON.parse(call(`${reference}/bridge`, 'ADD', referenceConfig, container)) as object
  call(`${reference}/portmap`, 'ADD', { ...portmapConfig, prevResult }, container)
}

function measure(
  row: string,
  counted: boolean,
  add: (c: Container) => unknown,
  del: (c: Container) => unknown,
): void {
  const container = makeContainer()
  const started = performance.now()
  add(container)
  const added = performance.now()
  del(container)
  const done = performance.now()
  if (counted) record(row, added - started, done - added)
  execFileSync('ip', ['netns', 'del', container.id])
}

async function measureLibrary(counted: boolean): Promise<void> {
  const container = makeContainer()
  const network = library.validate({
    ...ownConfig,
    name: 'library',
    bridge: 'lib0',
    ipam: { subnet: '10.97.0.0/16' },
  })
  const runtime = library.validateRuntime({ runtimeConfig: ports })
  const netns = openSync(container.netns, 'r')
  const attachment = { network, containerId: container.id, interface: 'eth0' }
  const started = performance.now()
  await library.setup({ ...attachment, netns, runtime })
  const added = performance.now()
  await library.teardown(attachment)
  const done = performance.now()
  closeSync(netns)
  if (counted) record('library, a port published', added - started, done - added)
  execFileSync('ip', ['netns', 'del', container.id])
}

function makeContainer(): Container {
  const id = `b${count++}`
  execFileSync('ip', ['netns', 'add', id])
  return { id, netns: `/run/netns/${id}` }
}

function call(
  program: string,
  command: string,
  config: object,
  { id, netns }: Container,
  helpers = '/run/holdfast-bridge',
): string {
  const { status, stdout } = spawnSync(program, {
    input: JSON.stringify(config),
    env: {
      PATH: process.env['PATH'],
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: reference,
      HOLDFAST_BRIDGE_HELPERS: helpers,
    },
  })
  if (status !== 0) throw new Error(`${program} ${command}: ${stdout.toString()}`)
  return stdout.toString()
}

function record(row: string, add: number, del: number): void {
  const pair = (rows[row] ??= { add: [], del: [] })
  pair.add.push(add)
  pair.del.push(del)
}

function print(): void {
  const bridge = medianSum(rows['reference bridge + host-local']!)
  const portmap = medianSum(rows['reference bridge + host-local + portmap']!)
  const lines = Object.entries(rows).map(([row, pair]) => {
    const base = /port/.test(row) ? portmap : bridge
    const ratio = row.startsWith('reference') ? '' : (medianSum(pair) / base).toFixed(2)
    return [
      row,
      milliseconds(median(pair.add)),
      milliseconds(median(pair.del)),
      milliseconds(medianSum(pair)),
      ratio,
    ]
  })
  table([['', 'ADD', 'DEL', 'both', 'of the reference’s'], ...lines])
  const [model] = cpus()
  console.log(
    `\nmedians of ${rounds}; ${cpus().length} × ${model?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}\n`,
  )
}

function table(all: string[][]): void {
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)))
  all.forEach((line, index) => {
    const cells = line.map((cell, column) => cell.padEnd(widths[column]!))
    console.log(options.markdown ? `| ${cells.join(' | ')} |` : cells.join('  '))
    if (options.markdown && index === 0)
      console.log(`| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`)
  })
}

/** Gbit/s, and seconds of processor time for a GiB, of both ends together. */
interface Flow {
  rate: number
  cpu: number
}

/** TCP by iperf3, three seconds each, in turn, and who was first is second next time. */
async function throughput(): Promise<void> {
  if (spawnSync('iperf3', ['--version']).error) {
    console.error('no iperf3: throughput is not measured')
    return
  }
  const kinds = [
    { name: 'reference bridge', program: `${reference}/bridge`, config: referenceConfig },
    { name: 'holdfast-bridge', program: plugin, config: ownConfig },
  ].map((kind) => ({ ...kind, toContainer: [] as Flow[], toHost: [] as Flow[] }))
  for (let round = 0; round < throughputRounds; round++) {
    for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) await measureFlows(kind)
  }
  table([
    ['', 'container to container', 'processor time', 'container to host', 'processor time'],
    ...kinds.map(({ name, toContainer, toHost }) => [name, ...flowCells(toContainer), ...flowCells(toHost)]),
  ])
  console.log(`\nmedians of ${throughputRounds}, three seconds each; processor time of both ends`)
}

async function measureFlows(kind: {
  program: string
  config: typeof referenceConfig | typeof ownConfig
  toContainer: Flow[]
  toHost: Flow[]
}): Promise<void> {
  const { program, config, toContainer, toHost } = kind
  const [a, b] = [makeContainer(), makeContainer()]
  const [first] = [a, b].map(
    (container) =>
      JSON.parse(call(program, 'ADD', config, container)) as {
        ips: { address: string; gateway: string }[]
      },
  )
  const { address, gateway } = first!.ips[0]!
  const client = ['ip', 'netns', 'exec', b.id]
  toContainer.push(await iperf(['ip', 'netns', 'exec', a.id], client, address.split('/')[0]!))
  toHost.push(await iperf([], client, gateway))
  for (const container of [a, b]) {
    call(program, 'DEL', config, container)
    execFileSync('ip', ['netns', 'del', container.id])
  }
}

function flowCells(flows: Flow[]): string[] {
  const rate = median(flows.map((flow) => flow.rate))
  const cpu = median(flows.map((flow) => flow.cpu))
  return [`${rate.toFixed(1)} Gbit/s`, `${cpu.toFixed(2)} s/GiB`]
}

async function iperf(server: string[], client: string[], address: string): Promise<Flow> {
  const [program, ...args] = [...server, 'iperf3', '-s', '-1', '--forceflush']
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data') // it listens
  const [command, ...rest] = [...client, 'iperf3', '-c', address, '-t', '3', '-J']
  const { end } = JSON.parse(execFileSync(command, rest, { encoding: 'utf8' })) as {
    end: {
      sum_received: { bits_per_second: number; bytes: number; seconds: number }
      cpu_utilization_percent: { host_total: number; remote_total: number }
    }
  }
  await once(child, 'close')
  const { bits_per_second: rate, bytes, seconds } = end.sum_received
  const { host_total: ours, remote_total: theirs } = end.cpu_utilization_percent
  return { rate: rate / 1e9, cpu: (((ours + theirs) / 100) * seconds) / (bytes / 2 ** 30) }
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}

function medianSum({ add, del }: Pair): number {
  return median(add.map((value, index) => value + del[index]!))
}

function milliseconds(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`
}
