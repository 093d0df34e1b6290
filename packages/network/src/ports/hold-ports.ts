/** Which host ports a container gets, each held by a bound socket before anything is translated. */
import { randomInt } from 'node:crypto'
import { HoldfastError } from '@holdfast/errors'
import { formatAddress, isLoopback, isUnspecified, type Address } from '../address.ts'
import type { PublishedPort } from '../bridge.ts'
import type { NetworkContext } from '../open-network/context.ts'
import { inNetns, readSysctl } from '../netns.ts'
import { findPortHolder, type PortHolder } from './port-holder.ts'
import type { CheckedMapping } from '../validate.ts'

/** Finds and holds ports for every mapping; what was held is let go where one fails. HF_PORT_IN_USE. */
export async function holdPorts(
  context: NetworkContext,
  id: string,
  mappings: CheckedMapping[],
): Promise<PublishedPort[]> {
  const held: PublishedPort[] = []
  try {
    for (const mapping of mappings) held.push(...(await holdMapping(context, id, mapping)))
    return held
  } catch (error) {
    releasePorts(context, held)
    throw error
  }
}

export function releasePorts(context: NetworkContext, ports: PublishedPort[]): void {
  for (const port of ports) context.held.release(port)
}

async function holdMapping(
  context: NetworkContext,
  id: string,
  mapping: CheckedMapping,
): Promise<PublishedPort[]> {
  for (const port of candidates(context, mapping)) {
    const ports = tryPort(context, { id, mapping, reuse: false }, port)
    if (ports) return ports
    if (mapping.first !== 0 && mapping.first === mapping.last) return await takenPort(context, id, mapping)
  }
  const range = mapping.first === 0 ? 'of the random range' : `from ${mapping.first} to ${mapping.last}`
  throw new HoldfastError('HF_PORT_IN_USE', `every ${mapping.protocol} port ${range} is in use`, {
    details: { protocol: mapping.protocol },
  })
}

function* candidates(context: NetworkContext, { first, last }: CheckedMapping): Generator<number> {
  if (first !== 0) {
    for (let port = first; port <= last; port++) yield port
    return
  }
  const range = inNetns(context.options.hostNetns, () => readSysctl('ipv4/ip_local_port_range'))
  const [low = 32_768, high = 60_999] = (range ?? '')
    .split(/\s+/)
    .map(Number)
    .filter((port) => port > 0)
  const count = high - low + 1
  const start = randomInt(count)
  for (let step = 0; step < count; step++) yield low + ((start + step) % count)
}

/** The same port on every address of the mapping, or none. `reuse`: past connections in TIME-WAIT. */
function tryPort(context: NetworkContext, owner: PortOwner, port: number): PublishedPort[] | undefined {
  const { id, mapping, reuse } = owner
  const { protocol, containerPort } = mapping
  const ports: PublishedPort[] = []
  for (const address of mapping.hostIps) {
    const relay = needsRelay(context, protocol, address)
    const hostIp = formatAddress(address)
    const place = { protocol, address, port, reuse }
    const free = relay ? context.held.reserve(place, id) : context.held.hold(place, id)
    if (!free) {
      releasePorts(context, ports)
      return undefined
    }
    ports.push({ protocol, containerPort, hostPort: port, hostIp, ...(relay && { relay }) })
  }
  return ports
}

interface PortOwner {
  id: string
  mapping: CheckedMapping
  reuse: boolean
}

function needsRelay(
  { plan }: NetworkContext,
  protocol: PublishedPort['protocol'],
  address: Address,
): boolean {
  if (!plan.families.includes(address.family)) return true
  if (address.family === 4) return false
  return isLoopback(address) || (isUnspecified(address) && plan.relays && protocol !== 'sctp')
}

/** Says who has the port, or takes it after all where only old connections are in the way. */
async function takenPort(
  context: NetworkContext,
  id: string,
  mapping: CheckedMapping,
): Promise<PublishedPort[]> {
  const { protocol, hostIps, first: port } = mapping
  let timeWait = false
  for (const address of hostIps) {
    const container = context.held.ownerOf(protocol, address, port)
    if (container !== undefined) throw portInUse(mapping, address, { container })
    if (context.held.isFree({ protocol, address, port, reuse: false })) continue
    const holder = await findPortHolder(protocol, address, port, context.options.hostNetns)
    if (!holder?.timeWaitOnly) throw portInUse(mapping, address, holder)
    timeWait = true
  }
  const ports = tryPort(context, { id, mapping, reuse: timeWait }, port)
  if (!ports) throw portInUse(mapping, hostIps[0]!, undefined)
  return ports
}

function portInUse(
  { protocol, first: port }: CheckedMapping,
  address: Address,
  holder: { container: string } | PortHolder | undefined,
): HoldfastError {
  const text = address.family === 6 ? `[${formatAddress(address)}]` : formatAddress(address)
  return new HoldfastError(
    'HF_PORT_IN_USE',
    `port ${text}:${port}/${protocol} is in use by ${describe(holder)}`,
    {
      hint: 'Publish another port, or let a free one be chosen by leaving it out.',
      details: { port, protocol, hostIp: formatAddress(address), holder },
    },
  )
}

/** The kernel tells of sockets that are bound and do nothing from Linux 6.8 on. */
function describe(holder: { container: string } | PortHolder | undefined): string {
  if (!holder) return 'another process'
  if ('container' in holder) return `container ${holder.container.slice(0, 12)}`
  return holder.process === undefined ? 'another process' : `${holder.process} (pid ${holder.pid})`
}
