/** What containers may send to: the lists that a caller writes, checked and turned into numbers. */
import { isIP } from 'node:net'
import { HoldfastError } from '@holdfast/errors'
import { contains, familyBits, parseAddress, parsePrefix, type Address, type Prefix } from '../address.ts'
import { protocolNumbers } from '../netlink/protocol-numbers.ts'
import { namePattern, type NamePattern } from './dns-name.ts'

/** Parts that are absent are anything. */
export interface EgressRule {
  /** An address, a network (`10.0.0.0/8`) or a DNS name: `example.org`, or `*.example.org` for all below it. */
  to?: string
  protocol?: 'tcp' | 'udp' | 'sctp' | 'icmp'
  /** One port or the first and the last of a range. Without a protocol: of tcp, udp and sctp. */
  port?: number | [first: number, last: number]
}

/**
 * For what leaves a container for elsewhere than the other containers of its network: the host's own addresses
 * count, too. Answers to what came in pass always.
 */
export interface EgressPolicy {
  /** Where there is such a list, nothing else may be reached; an empty one allows nothing. */
  allow?: EgressRule[]
  /** Goes before what is allowed. */
  deny?: EgressRule[]
}

export interface CheckedRule {
  /** The rule as text: `10.0.0.0/8 tcp 25`. */
  text: string
  to: { kind: 'anywhere' } | { kind: 'prefix'; prefix: Prefix } | { kind: 'name'; pattern: NamePattern }
  /** IPPROTO_ numbers by family; absent: every protocol, and no port is looked at. */
  protocols?: Record<4 | 6, number[]>
  first: number
  last: number
}

export interface CheckedPolicy {
  allow: CheckedRule[] | undefined
  deny: CheckedRule[]
}

export interface Packet {
  source: Address
  destination: Address
  protocol: number
  /** The destination's; absent where the protocol has none. */
  port?: number
}

/** HF_BAD_REQUEST names the part that is wrong. */
export function checkPolicy({ allow, deny = [] }: EgressPolicy, field: string): CheckedPolicy {
  return {
    allow: allow?.map((rule, index) => checkRule(rule, `${field}.allow[${index}]`)),
    deny: deny.map((rule, index) => checkRule(rule, `${field}.deny[${index}]`)),
  }
}

function checkRule(rule: EgressRule, field: string): CheckedRule {
  const { to, protocol, port } = rule
  const ports: unknown[] = port === undefined ? [] : Array.isArray(port) ? port : [port, port]
  const [first = 0, last = 65_535] = ports as number[]
  const whole = (value: unknown) =>
    Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535
  if (ports.length > 0 && (ports.length !== 2 || !ports.every(whole) || first > last))
    throw bad(`${field}.port`, `${JSON.stringify(port)} is no port, and no first and last one`)
  if (protocol !== undefined && protocol !== 'icmp' && protocolNumbers[protocol] === undefined)
    throw bad(`${field}.protocol`, `'${String(protocol)}' is no protocol`)
  if (protocol === 'icmp' && ports.length > 0) throw bad(`${field}.port`, 'icmp has no ports')
  const numbers = protocolsOf(protocol, ports.length > 0)
  return {
    text: describeRule(rule),
    to: destinationOf(to, `${field}.to`),
    ...(numbers && { protocols: numbers }),
    first,
    last,
  }
}

function protocolsOf(
  protocol: EgressRule['protocol'],
  hasPort: boolean,
): Record<4 | 6, number[]> | undefined {
  if (protocol === 'icmp') return { 4: [1], 6: [58] }
  if (protocol !== undefined) return { 4: [protocolNumbers[protocol]], 6: [protocolNumbers[protocol]] }
  const all = Object.values(protocolNumbers)
  return hasPort ? { 4: all, 6: all } : undefined
}

function destinationOf(to: string | undefined, field: string): CheckedRule['to'] {
  if (to === undefined) return { kind: 'anywhere' }
  if (to.includes('/')) return { kind: 'prefix', prefix: parsePrefix(to, field) }
  if (isIP(to) !== 0 || to.includes(':')) {
    const address = parseAddress(to, field)
    return { kind: 'prefix', prefix: { ...address, length: familyBits[address.family] } }
  }
  const pattern = namePattern(to)
  if (pattern) return { kind: 'name', pattern }
  throw bad(field, `'${to}' is no address, no network and no DNS name`)
}

/** `10.0.0.0/8 tcp 25`, `*.example.org port 443`, `anything`. */
export function describeRule({ to, protocol, port }: EgressRule): string {
  const range = Array.isArray(port) ? port.join('-') : port
  const parts = [to, protocol, range === undefined ? undefined : protocol ? `${range}` : `port ${range}`]
  return parts.filter((part) => part !== undefined).join(' ') || 'anything'
}

/** `addressesOf`: what a name pattern stands for now. */
function matchesRule(
  { to, protocols, first, last }: CheckedRule,
  packet: Packet,
  addressesOf: (pattern: NamePattern) => Address[],
): boolean {
  const { destination, protocol, port } = packet
  if (protocols && !protocols[destination.family].includes(protocol)) return false
  if (protocols && (first > 0 || last < 65_535) && !(port !== undefined && port >= first && port <= last))
    return false
  if (to.kind === 'anywhere') return true
  if (to.kind === 'prefix') return contains(to.prefix, destination)
  return addressesOf(to.pattern).some(
    ({ family, value }) => family === destination.family && value === destination.value,
  )
}

/** Why a policy refuses a packet; undefined where it does not. */
export function refusalBy(
  { allow, deny }: CheckedPolicy,
  packet: Packet,
  addressesOf: (pattern: NamePattern) => Address[],
): string | undefined {
  const denied = deny.find((rule) => matchesRule(rule, packet, addressesOf))
  if (denied) return `deny ${denied.text}`
  if (allow && !allow.some((rule) => matchesRule(rule, packet, addressesOf))) return 'nothing allows it'
  return undefined
}

function bad(field: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `${field}: ${message}`, { details: { field } })
}
