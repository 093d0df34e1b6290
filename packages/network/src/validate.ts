/** Checks what a caller gave before anything is changed, and turns it into numbers and bytes. */
import { HoldfastError } from '@holdfast/errors'
import {
  contains,
  formatAddress,
  lastAddress,
  macBytes,
  parseAddress,
  parsePrefix,
  type Address,
  type Family,
} from './address.ts'
import type { AttachRequest, RulesOptions, PortMapping } from './bridge.ts'
import type { Range } from './ipam.ts'
import { checkPolicy } from './policy/egress-rule.ts'

export interface NetworkPlan {
  ranges: Range[]
  families: Family[]
  internal: boolean
  defaultHostIps: Address[]
  /** Ports may come back with `relay` without having been asked for by their address. */
  relays: boolean
}

export function validateOptions(options: RulesOptions): NetworkPlan {
  checkLinkName(options.bridge, 'bridge')
  // It becomes part of nft's text.
  if (!/^[\w.-]+$/.test(options.bridge))
    throw bad('bridge', `'${options.bridge}' has more than letters, digits, _.-`)
  // nft takes 255 bytes; the table's name is part of chain names and of messages.
  if (!/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(options.table))
    throw bad('table', `'${options.table}' is no table name`)
  if (options.name === '') throw bad('name', 'a network needs a name')
  if (options.mtu !== undefined) checkNumber(options.mtu, 68, 65_535, 'mtu')
  if (options.internal && options.isolated === false)
    throw bad('isolated', 'an internal network is isolated from the others')
  if (options.subnets.length === 0) throw bad('subnets', 'a network needs a subnet')
  const ranges = options.subnets.map((entry, index) => validateSubnet(entry, `subnets[${index}]`))
  const families = ranges.map(({ subnet }) => subnet.family)
  if (new Set(families).size !== families.length)
    throw bad('subnets', 'a network has one subnet per family at most')
  if (options.egress) checkPolicy(options.egress, 'egress')
  const hostIps = options.defaultHostIps ?? ['0.0.0.0', '::']
  return {
    ranges,
    families,
    internal: options.internal ?? false,
    defaultHostIps: hostIps.map((ip) => parseAddress(ip, 'defaultHostIps')),
    relays: options.relays === true,
  }
}

function validateSubnet(entry: RulesOptions['subnets'][number], field: string): Range {
  const subnet = parsePrefix(entry.subnet, `${field}.subnet`)
  if (subnet.length > (subnet.family === 4 ? 30 : 126)) {
    throw bad(`${field}.subnet`, `${entry.subnet} has no room for a gateway and a container`)
  }
  const { family } = subnet
  // IPv4 keeps its last address for broadcasts.
  const last = lastAddress(subnet) - (family === 4 ? 1n : 0n)
  const gateway =
    entry.gateway === undefined
      ? { family, value: subnet.value + 1n }
      : parseAddress(entry.gateway, `${field}.gateway`)
  if (!contains(subnet, gateway) || gateway.value === subnet.value || gateway.value > last) {
    throw bad(`${field}.gateway`, `${formatAddress(gateway)} is no host of ${entry.subnet}`)
  }
  if (entry.range === undefined) return { subnet, first: subnet.value + 1n, last, gateway }
  const range = parsePrefix(entry.range, `${field}.range`)
  if (!contains(subnet, range) || range.length < subnet.length) {
    throw bad(`${field}.range`, `${entry.range} is no part of ${entry.subnet}`)
  }
  const rangeLast = lastAddress(range)
  return {
    subnet,
    gateway,
    first: range.value === subnet.value ? range.value + 1n : range.value,
    last: rangeLast > last ? last : rangeLast,
  }
}

export interface AttachPlan {
  wishes: Address[]
  mac: Buffer | undefined
  ports: CheckedMapping[]
}

/** A mapping with the addresses of the host that it is for. */
export interface CheckedMapping {
  protocol: PortMapping['protocol']
  containerPort: number
  /** The ports to choose from; 0 to 0: any. */
  first: number
  last: number
  hostIps: Address[]
}

export function validateAttach(plan: NetworkPlan, request: AttachRequest): AttachPlan {
  if (request.id === '' || /[^\x21-\x7e]/.test(request.id))
    throw bad('id', 'an id is made of printable ASCII')
  if (Buffer.byteLength(request.id) > 128) throw bad('id', 'an id has at most 128 bytes')
  checkNumber(request.netns, 0, 0x7fff_ffff, 'netns')
  checkLinkName(request.interface, 'interface')
  const wishes = (request.addresses ?? []).map((text, index) => parseAddress(text, `addresses[${index}]`))
  if (new Set(wishes.map(({ family }) => family)).size !== wishes.length) {
    throw bad('addresses', 'one address per family at most')
  }
  if (request.egress) checkPolicy(request.egress, 'egress')
  return {
    wishes,
    mac: request.mac === undefined ? undefined : macBytes(request.mac, 'mac'),
    ports: validatePorts(plan, request.ports ?? []),
  }
}

export function validatePorts(plan: NetworkPlan, mappings: PortMapping[]): CheckedMapping[] {
  if (plan.internal && mappings.length > 0) throw bad('ports', 'an internal network publishes no ports')
  return mappings.flatMap((mapping, index) => {
    const field = `ports[${index}]`
    const { protocol, containerPort, hostPort, hostPortEnd = hostPort } = mapping
    const { containerPortEnd = containerPort } = mapping
    if (!['tcp', 'udp', 'sctp'].includes(protocol))
      throw bad(`${field}.protocol`, `'${protocol}' is no protocol`)
    checkNumber(containerPort, 1, 65_535, `${field}.containerPort`)
    checkNumber(hostPort, 0, 65_535, `${field}.hostPort`)
    checkNumber(hostPortEnd, hostPort, 65_535, `${field}.hostPortEnd`)
    const hostIps =
      mapping.hostIp === undefined || mapping.hostIp === ''
        ? plan.defaultHostIps.filter(
            // sctp is not relayed.
            ({ family }) => (plan.relays && protocol !== 'sctp') || plan.families.includes(family),
          )
        : [parseAddress(mapping.hostIp, `${field}.hostIp`)]
    if (hostPort === 0 && hostPortEnd !== 0) throw bad(`${field}.hostPort`, 'a range starts at 1 or above')
    if (containerPortEnd === containerPort)
      return [{ protocol, containerPort, first: hostPort, last: hostPortEnd, hostIps }]
    checkNumber(containerPortEnd, containerPort, 65_535, `${field}.containerPortEnd`)
    if (hostPort !== 0 && hostPortEnd - hostPort !== containerPortEnd - containerPort)
      throw bad(`${field}.hostPortEnd`, 'two ranges that go in step have one length')
    return Array.from({ length: containerPortEnd - containerPort + 1 }, (_, step) => {
      const port = hostPort === 0 ? 0 : hostPort + step
      return { protocol, containerPort: containerPort + step, first: port, last: port, hostIps }
    })
  })
}

/** An interface's name, as dev_valid_name() in the kernel checks it. */
export function checkLinkName(name: string, field: string): void {
  if (
    name === '' ||
    name === '.' ||
    name === '..' ||
    Buffer.byteLength(name) > 15 ||
    /[\s/:\0"%]/.test(name)
  ) {
    throw bad(field, `'${name}' is no name of a network interface`)
  }
}

function checkNumber(value: number, min: number, max: number, field: string): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw bad(field, `${value} is not between ${min} and ${max}`)
  }
}

function bad(field: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `${field}: ${message}`, { details: { field } })
}
