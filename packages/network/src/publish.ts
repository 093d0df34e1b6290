/** Published ports: chosen, held by a bound socket, translated by an element of a map. */
import { randomInt } from 'node:crypto'
import { hasCode, HoldfastError } from '@holdfast/errors'
import {
  addressBytes, addressFromBytes, contains, formatAddress, isLoopback, isUnspecified, parseAddress, type Address,
} from './address.ts'
import type { PublishedPort } from './bridge.ts'
import { type NetworkContext } from './context.ts'
import { ensureRules } from './host-bridge.ts'
import { inNetns, readSysctl } from './netns.ts'
import {
  addElements, deleteConntrack, deleteElements, dumpConntrack, dumpElements, parseElements, portBytes,
  type ElementRequest,
} from './nfnetlink.ts'
import { findPortHolder } from './port-holder.ts'
import { publishMaps } from './ruleset.ts'
import { dumpAddresses, parseAddressReply } from './rtnetlink.ts'
import type { CheckedMapping } from './validate.ts'

export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const

/** Finds and holds ports for every mapping; what was held is let go where one fails. HF_PORT_IN_USE. */
export async function holdPorts(context: NetworkContext, id: string, mappings: CheckedMapping[]): Promise<PublishedPort[]> {
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
  for (const port of ports) if (!port.relay) context.held.release(port)
}

export function samePort(a: PublishedPort, b: PublishedPort): boolean {
  return a.protocol === b.protocol && a.hostPort === b.hostPort && a.hostIp === b.hostIp
}

async function holdMapping(context: NetworkContext, id: string, mapping: CheckedMapping): Promise<PublishedPort[]> {
  for (const port of candidates(context, mapping)) {
    const ports = tryPort(context, id, mapping, port)
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
  const [low = 32_768, high = 60_999] = (range ?? '').split(/\s+/).map(Number).filter((port) => port > 0)
  const count = high - low + 1
  const start = randomInt(count)
  for (let step = 0; step < count; step++) yield low + ((start + step) % count)
}

/** The same port on every address of the mapping, or none. */
function tryPort(context: NetworkContext, id: string, mapping: CheckedMapping, port: number): PublishedPort[] | undefined {
  const { protocol, containerPort } = mapping
  const ports: PublishedPort[] = []
  for (const address of mapping.hostIps) {
    const relay = needsRelay(context, address)
    const free = relay
      ? context.held.isFree(protocol, address, port)
      : context.held.hold(protocol, address, port, id)
    if (!free) {
      releasePorts(context, ports)
      return undefined
    }
    ports.push({ protocol, containerPort, hostPort: port, hostIp: formatAddress(address), ...(relay && { relay }) })
  }
  return ports
}

function needsRelay({ plan }: NetworkContext, address: Address): boolean {
  return !plan.families.includes(address.family) || (address.family === 6 && isLoopback(address))
}

/** Says who has the port, or takes it after all where only old connections are in the way. */
async function takenPort(context: NetworkContext, id: string, mapping: CheckedMapping): Promise<PublishedPort[]> {
  const { protocol, containerPort, hostIps, first: port } = mapping
  const ports: PublishedPort[] = []
  try {
    for (const address of hostIps) {
      const relay = needsRelay(context, address)
      if (relay ? !context.held.isFree(protocol, address, port) : !context.held.hold(protocol, address, port, id)) {
        await takeBesideTimeWait(context, id, protocol, address, port)
      }
      ports.push({ protocol, containerPort, hostPort: port, hostIp: formatAddress(address), ...(relay && { relay }) })
    }
    return ports
  } catch (error) {
    releasePorts(context, ports)
    throw error
  }
}

async function takeBesideTimeWait(
  context: NetworkContext, id: string, protocol: CheckedMapping['protocol'], address: Address, port: number,
): Promise<void> {
  const ours = context.held.ownerOf(protocol, address, port)
  const holder = ours === undefined ? await findPortHolder(protocol, address, port, context.options.hostNetns) : undefined
  if (holder?.timeWaitOnly && context.held.holdBesideTimeWait(protocol, address, port, id)) return
  const who = ours !== undefined ? `container ${ours.slice(0, 12)}`
    : holder?.process !== undefined ? `${holder.process} (pid ${holder.pid})`
    : 'a process that does not show (another network namespace manager, or a kernel before 6.8)'
  const text = address.family === 6 ? `[${formatAddress(address)}]` : formatAddress(address)
  throw new HoldfastError('HF_PORT_IN_USE', `port ${text}:${port}/${protocol} is in use by ${who}`, {
    hint: 'Publish another port, or let a free one be chosen by leaving it out.',
    details: {
      port, protocol, hostIp: formatAddress(address),
      holder: ours !== undefined ? { container: ours } : holder?.process !== undefined ? holder : undefined,
    },
  })
}

/** Writes the elements; all or none. */
export async function translatePorts(context: NetworkContext, addresses: string[], ports: PublishedPort[]): Promise<void> {
  const requests = elementsOf(context, addresses, ports)
  if (requests.length === 0) return
  try {
    await context.netfilter.request(addElements(requests))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw portClash(error)
    await reinstall(context)
    await context.netfilter.request(addElements(requests))
  }
  await forgetFlows(context, addresses, ports, 'publish')
}

/** Idempotent. */
export async function withdrawPorts(context: NetworkContext, addresses: string[], ports: PublishedPort[]): Promise<void> {
  await deletePresent(context, elementsOf(context, addresses, ports))
  await forgetFlows(context, addresses, ports, 'withdraw')
}

/**
 * All in one transaction, as they are there nearly always; where one is not (somebody flushed our table) each has one
 * of its own. A transaction that fails costs the kernel an RCU grace period.
 */
async function deletePresent(context: NetworkContext, requests: ElementRequest[]): Promise<void> {
  if (requests.length === 0) return
  try {
    await context.netfilter.request(deleteElements(requests))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    if (requests.length === 1) return
    for (const request of requests) await deletePresent(context, [request])
  }
}

function portClash(error: unknown): unknown {
  if (!hasCode(error, 'EEXIST', 'EBUSY')) return error
  return new HoldfastError('HF_PORT_IN_USE', 'a port is translated to another container already', {
    hint: 'An engine that was killed left it behind: its next start removes what belongs to nobody.',
    cause: error,
  })
}

/** Somebody flushed the host's whole ruleset: ours is written again, with every port that is published. */
async function reinstall(context: NetworkContext): Promise<void> {
  await ensureRules(context.options, context.plan)
  const requests = [...context.published.values()].flatMap(({ addresses, ports }) => elementsOf(context, addresses, ports))
  if (requests.length > 0) await context.netfilter.request(addElements(requests))
}

export function elementsOf(context: NetworkContext, addresses: string[], ports: PublishedPort[]): ElementRequest[] {
  return ports.filter(({ relay }) => !relay).flatMap((port) => {
    const hostIp = parseAddress(port.hostIp, 'hostIp')
    const target = addresses.map((text) => parseAddress(text, 'address')).find(({ family }) => family === hostIp.family)
    if (!target) return []
    const names = publishMaps[hostIp.family]
    const protocol = Buffer.of(protocolNumbers[port.protocol])
    const hostPort = portBytes(port.hostPort)
    return [{
      table: context.options.table,
      set: isUnspecified(hostIp) ? names.any : names.one,
      elements: [{
        key: isUnspecified(hostIp) ? [protocol, hostPort] : [protocol, addressBytes(hostIp), hostPort],
        data: [addressBytes(target), portBytes(port.containerPort)],
      }],
    }]
  })
}

/**
 * udp has no end of a connection: a flow keeps the way that its first packet went. One that was there before the
 * port was published must learn of the container, one to a container that is gone must end.
 */
async function forgetFlows(
  context: NetworkContext, addresses: string[], ports: PublishedPort[], when: 'publish' | 'withdraw',
): Promise<void> {
  const udp = ports.filter(({ protocol, relay }) => protocol === 'udp' && !relay)
  if (udp.length === 0) return
  const containers = addresses.map((text) => addressBytes(parseAddress(text, 'address')))
  const local = when === 'publish' ? await localAddresses(context) : []
  for (const { hostIp, hostPort } of udp) {
    const host = addressBytes(parseAddress(hostIp, 'hostIp'))
    const any = host.every((byte) => byte === 0)
    const filters = when === 'withdraw'
      ? containers.filter((address) => address.length === host.length).map((answers) => ({ answers }))
      : (any ? local.filter((address) => address.length === host.length) : [host]).map((destination) => ({ destination }))
    for (const filter of filters) {
      const query = dumpConntrack({ protocol: protocolNumbers.udp, destinationPort: hostPort, ...filter })
      const entries = await context.netfilter.dump(query)
      if (entries.length > 0) await context.netfilter.request(entries.map(deleteConntrack))
    }
  }
}

async function localAddresses(context: NetworkContext): Promise<Buffer[]> {
  const replies = await context.route.dump(dumpAddresses())
  return replies.map(parseAddressReply).flatMap((each) => (each ? [addressBytes(each.address)] : []))
}

/** Elements that lead to an address of this network, keyed by what identifies them. */
export async function presentElements(context: NetworkContext): Promise<Map<string, ElementRequest>> {
  const present = new Map<string, ElementRequest>()
  const { table } = context.options
  for (const range of context.plan.ranges) {
    const size = range.subnet.family === 4 ? 4 : 16
    for (const set of Object.values(publishMaps[range.subnet.family])) {
      const replies = await context.netfilter.dump(dumpElements(table, set))
      for (const { key, data } of replies.flatMap(parseElements)) {
        if (!contains(range.subnet, addressFromBytes(data.subarray(0, size)))) continue
        const request = { table, set, elements: [{ key: [key], data: [data] }] }
        present.set(elementKey(request), request)
      }
    }
  }
  return present
}

/** Set, key and data of an element's request, as text. */
export function elementKey({ set, elements }: ElementRequest): string {
  const padded = (parts: Buffer[]) =>
    Buffer.concat(parts.flatMap((part) => [part, Buffer.alloc(-part.length & 3)])).toString('hex')
  return elements.map(({ key, data }) => `${set} ${padded(key)} ${padded(data)}`).join()
}
