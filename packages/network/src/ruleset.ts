/**
 * The rules of a bridge network, in a table of our own (family inet). What changes with each container is an
 * element of a map, so the cost per packet does not grow with their number.
 *
 * ```
 * vlans prerouting frames that a bridge with VLANs passes on: not tracked
 * raw prerouting   to or from 127.0.0.0/8 on any link but lo: drop  (route_localnet is on for our bridges)
 *              from an internal network to anywhere but itself: drop
 * prerouting ┐
 * output     ┴ to an address of the host: protocol . [address .] port → container address . port
 * forward      out by a bridge of ours: replies, published ports, the bridge's own, between bridges that are not
 *              isolated; the rest is dropped
 * postrouting  from 127.0.0.0/8 to a bridge, from a subnet to itself by way of a published port, from a subnet
 *              to elsewhere: masquerade
 * ```
 *
 * Accepting here overrides nobody: other tables still see the packet. The text is nft's own language and not
 * its JSON: nft 1.0.6 crashes on the JSON of a dnat whose map gives an address and a port.
 */
import { formatPrefix, type Family, type Prefix } from './address.ts'

export interface NetworkRules {
  table: string
  bridge: string
  subnets: Prefix[]
  ipMasq: boolean
  /** No way out, and no ports published. */
  internal: boolean
  /** False: networks that are not isolated either reach it. */
  isolated: boolean
  /**
   * What may enter: `closed` (the default) lets replies and published ports in; `open` leaves it to the host's
   * routes and rules, as CNI's bridge networks do, whose containers other hosts reach by their addresses.
   */
  entry?: 'open' | 'closed'
  /** The bridge on which the network is a VLAN, where `bridge` names the host's interface in it. */
  trunk?: string
  /** Each container has a link of its own, and there is no bridge: `bridge` is a name for the chains alone. */
  pointToPoint?: boolean
}

/** Maps of published ports: for one address of the host, and for any. */
export const publishMaps = {
  4: { one: 'publish4', any: 'publish4_any' },
  6: { one: 'publish6', any: 'publish6_any' },
} as const satisfies Record<Family, { one: string; any: string }>

const sourceMaps = { 4: 'source4', 6: 'source6' } as const

/**
 * One transaction. Adding what is there already changes nothing; only chains are flushed, and filled again in
 * the same transaction, so no packet sees them empty. `stale`: subnets that this bridge had and has no more.
 */
export function installText(rules: NetworkRules, stale: Prefix[]): string {
  return baseText(rules.table, rules.bridge) + networkText(rules, stale)
}

/** `last`: no other network is in the table. */
export function removeText(rules: NetworkRules, last: boolean): string {
  const { table, bridge, subnets } = rules
  if (last) return `delete table inet ${table}\n`
  return lines([
    ...(rules.pointToPoint ? [] : [`delete element inet ${table} bridges { "${bridge}" }`]),
    ...(rules.entry === 'open' ? [] : [`delete element inet ${table} leave { "${bridge}" }`]),
    ...subnets.map(
      (subnet) => `delete element inet ${table} ${sourceMaps[subnet.family]} { ${formatPrefix(subnet)} }`,
    ),
    ...bridgedElements(rules).map((element) => `delete ${element}`),
    ...optionalElements(table, bridge, { internal: false, isolated: true }),
    `delete chain inet ${table} ${leaveChain(bridge)}`,
    `delete chain inet ${table} ${sourceChain(bridge)}`,
    `delete chain inet ${table} ${insideChain(bridge)}`,
  ])
}

/**
 * Elements that are there or not as the options are. What may be missing is added before it is deleted, as nft
 * 1.0.6 has no `destroy`.
 */
function optionalElements(
  table: string,
  bridge: string,
  { internal, isolated }: Pick<NetworkRules, 'internal' | 'isolated'>,
): string[] {
  const inside = `element inet ${table} inside { "${bridge}" : jump ${insideChain(bridge)} }`
  const each = (element: string, there: boolean) => [
    `add ${element}`,
    ...(there ? [] : [`delete ${element}`]),
  ]
  return [
    ...each(inside, internal),
    ...each(`element inet ${table} internal { "${bridge}" }`, internal),
    ...each(`element inet ${table} open { "${bridge}" }`, !isolated),
  ]
}

function leaveChain(bridge: string): string {
  return `leave-${bridge}`
}

export function sourceChain(bridge: string): string {
  return `source-${bridge}`
}

function insideChain(bridge: string): string {
  return `inside-${bridge}`
}

function baseText(table: string, bridge: string): string {
  const ports = 'meta l4proto { tcp, udp, sctp }'
  return `
add table inet ${table}
# Before the maps: nft moves the elements of an interval map up to its declaration.
add chain inet ${table} ${leaveChain(bridge)}
add chain inet ${table} ${sourceChain(bridge)}
add chain inet ${table} ${insideChain(bridge)}
add set inet ${table} bridges { type ifname; }
add set inet ${table} internal { type ifname; }
add set inet ${table} open { type ifname; }
add map inet ${table} inside { type ifname : verdict; }
add map inet ${table} leave { type ifname : verdict; }
add map inet ${table} source4 { type ipv4_addr : verdict; flags interval; }
add map inet ${table} source6 { type ipv6_addr : verdict; flags interval; }
add map inet ${table} publish4 { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }
add map inet ${table} publish4_any { type inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet ${table} publish6 { type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }
add map inet ${table} publish6_any { type inet_proto . inet_service : ipv6_addr . inet_service; }

add chain inet ${table} raw { type filter hook prerouting priority -300; policy accept; }
add chain inet ${table} prerouting { type nat hook prerouting priority -100; policy accept; }
add chain inet ${table} output { type nat hook output priority -100; policy accept; }
add chain inet ${table} forward { type filter hook forward priority 0; policy accept; }
add chain inet ${table} postrouting { type nat hook postrouting priority 100; policy accept; }
add chain inet ${table} publish

# With route_localnet a container could reach what listens on the host's loopback alone, or pose as 127.0.0.1.
flush chain inet ${table} raw
add rule inet ${table} raw iifname != "lo" ip daddr 127.0.0.0/8 drop
add rule inet ${table} raw iifname != "lo" ip saddr 127.0.0.0/8 drop
add rule inet ${table} raw iifname vmap @inside

# An internal network's containers could else leave by a port that is published on the gateway's address.
flush chain inet ${table} prerouting
add rule inet ${table} prerouting iifname @internal return
add rule inet ${table} prerouting fib daddr type local jump publish
flush chain inet ${table} output
add rule inet ${table} output fib daddr type local jump publish

# [::1] cannot be translated: the kernel never routes that source address off the host.
flush chain inet ${table} publish
add rule inet ${table} publish meta nfproto ipv4 ${ports} dnat ip to meta l4proto . ip daddr . th dport map @publish4
add rule inet ${table} publish meta nfproto ipv4 ${ports} dnat ip to meta l4proto . th dport map @publish4_any
add rule inet ${table} publish ip6 daddr != ::1 ${ports} dnat ip6 to meta l4proto . ip6 daddr . th dport map @publish6
add rule inet ${table} publish ip6 daddr != ::1 ${ports} dnat ip6 to meta l4proto . th dport map @publish6_any

# A container may send with an address that is not its own only where the host would answer by way of it.
flush chain inet ${table} forward
add rule inet ${table} forward iifname @bridges oifname != @bridges fib saddr . iif oif missing drop
add rule inet ${table} forward oifname vmap @leave

flush chain inet ${table} postrouting
add rule inet ${table} postrouting ip saddr 127.0.0.0/8 oifname @bridges ct status dnat masquerade
add rule inet ${table} postrouting ip saddr vmap @source4
add rule inet ${table} postrouting ip6 saddr vmap @source6
`
}

function networkText(rules: NetworkRules, stale: Prefix[]): string {
  const { table, bridge, subnets, ipMasq, internal, isolated } = rules
  const source = `inet ${table} ${sourceChain(bridge)}`
  const inside = `inet ${table} ${insideChain(bridge)}`
  const jump = (subnet: Prefix) =>
    `element inet ${table} ${sourceMaps[subnet.family]} { ${formatPrefix(subnet)} : jump ${sourceChain(bridge)} }`
  return lines([
    ...(rules.entry === 'open' ? [] : entryText(rules)),
    `flush chain ${inside}`,
    ...subnets.map(
      (subnet) => `add rule ${inside} ${protocolOf(subnet)} daddr ${formatPrefix(subnet)} return`,
    ),
    `add rule ${inside} ip daddr { 224.0.0.0/4, 255.255.255.255 } return`,
    `add rule ${inside} ip6 daddr { fe80::/10, ff00::/8 } return`,
    `add rule ${inside} drop`,
    `flush chain ${source}`,
    // By address and not by interface: with bridge-nf-call-iptables the packet never seems to change interfaces.
    ...subnets.map(
      (subnet) =>
        `add rule ${source} ${protocolOf(subnet)} daddr ${formatPrefix(subnet)} ct status dnat masquerade`,
    ),
    ...(isolated ? [] : [`add rule ${source} oifname @open return`]),
    ...(ipMasq && !internal ? masqueradeText(rules, source) : []),
    ...optionalElements(table, bridge, rules),
    ...(rules.pointToPoint ? [] : [`add element inet ${table} bridges { "${bridge}" }`]),
    ...vlanText(rules),
    ...stale.map((subnet) => `delete ${jump(subnet)}`),
    ...subnets.map((subnet) => `add ${jump(subnet)}`),
  ])
}

/**
 * With bridge-nf-call-iptables, frames that a bridge passes on within a VLAN meet the host's rules as if they came and
 * left by the bridge, and again when they reach the host's interface in the VLAN. Who was translated or masqueraded the
 * first time, by a link that has no address, never arrives; so the first time nobody looks.
 */
function vlanText(rules: NetworkRules): string[] {
  if (rules.trunk === undefined) return []
  const chain = `inet ${rules.table} vlans`
  return [
    `add set inet ${rules.table} bridged4 { type ifname . ipv4_addr; flags interval; }`,
    `add set inet ${rules.table} bridged6 { type ifname . ipv6_addr; flags interval; }`,
    `add chain ${chain} { type filter hook prerouting priority -300; policy accept; }`,
    `flush chain ${chain}`,
    ...(['saddr', 'daddr'] as const).flatMap((side) => [
      `add rule ${chain} iifname . ip ${side} @bridged4 notrack`,
      `add rule ${chain} iifname . ip6 ${side} @bridged6 notrack`,
    ]),
    ...bridgedElements(rules).map((element) => `add ${element}`),
  ]
}

function bridgedElements({ table, trunk, subnets }: NetworkRules): string[] {
  if (trunk === undefined) return []
  return subnets.map(
    (subnet) => `element inet ${table} bridged${subnet.family} { "${trunk}" . ${formatPrefix(subnet)} }`,
  )
}

function entryText({ table, bridge, internal, isolated }: NetworkRules): string[] {
  const leave = `inet ${table} ${leaveChain(bridge)}`
  return [
    `flush chain ${leave}`,
    `add rule ${leave} ct state established,related accept`,
    ...(internal ? [] : [`add rule ${leave} ct status dnat accept`]),
    `add rule ${leave} iifname "${bridge}" accept`,
    ...(isolated ? [] : [`add rule ${leave} iifname @open accept`]),
    `add rule ${leave} drop`,
    `add element inet ${table} leave { "${bridge}" : jump ${leaveChain(bridge)} }`,
  ]
}

function masqueradeText({ bridge, subnets, pointToPoint }: NetworkRules, source: string): string[] {
  if (!pointToPoint) return [`add rule ${source} oifname != "${bridge}" masquerade`]
  return [
    ...subnets.map(
      (subnet) => `add rule ${source} ${protocolOf(subnet)} daddr ${formatPrefix(subnet)} return`,
    ),
    `add rule ${source} masquerade`,
  ]
}

function protocolOf({ family }: Prefix): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6'
}

function lines(commands: string[]): string {
  return `${commands.join('\n')}\n`
}

/** What `nft -j list …` prints, as far as it is needed. */
export interface NftObject {
  map?: { elem?: [{ prefix?: { addr: string; len: number } }, { jump?: { target: string } }][] }
  chain?: { name: string; family?: string; table?: string; hook?: string; policy?: string }
}

/** The subnets that a map of sources sends to this bridge's chain. */
export function sourcesOf(objects: NftObject[], bridge: string): string[] {
  return sourcesByBridge(objects).get(bridge) ?? []
}

/** The subnets in the maps of sources, by the bridge whose chain they are sent to. */
export function sourcesByBridge(objects: NftObject[]): Map<string, string[]> {
  const sources = new Map<string, string[]>()
  const elements = objects.flatMap(({ map }) => map?.elem ?? [])
  for (const [{ prefix }, { jump }] of elements) {
    const [, bridge] = /^source-(.*)$/.exec(jump?.target ?? '') ?? []
    if (!prefix || bridge === undefined) continue
    sources.set(bridge, [...(sources.get(bridge) ?? []), `${prefix.addr}/${prefix.len}`])
  }
  return sources
}
