/** What the verbs of one open network share. */
import type { Mutex } from '@holdfast/core'
import type { Attachment, BridgeOptions, PublishedPort, RulesOptions } from '../bridge.ts'
import type { EgressFilter } from '../policy/egress-filter.ts'
import type { HeldSockets } from '../ports/held-sockets.ts'
import type { Ipam } from '../ipam.ts'
import type { NetlinkSocket } from '../netlink/netlink.ts'
import type { NetworkPlan } from '../validate.ts'

/**
 * Enough to look after a network's bridge, rules and elements. The verbs that work without the long-lived
 * object, an executable's for instance, have this and no more.
 */
export interface RulesContext {
  readonly options: RulesOptions
  readonly plan: NetworkPlan
  /** rtnetlink on the host's side. */
  readonly route: NetlinkSocket
  readonly netfilter: NetlinkSocket
  /** What is published now, by attachment: it is written again where somebody flushed our table. */
  readonly published: ReadonlyMap<string, Publication>
  /** Whose an address is, for messages. */
  readonly ownerOf?: (address: string) => string | undefined
  /** What containers may send to. */
  readonly egress?: EgressFilter
}

export interface NetworkContext extends RulesContext {
  readonly options: BridgeOptions
  /** Whose turn it is on `route` and the sockets inside containers. */
  readonly routeTurns: Mutex
  readonly egress: EgressFilter
  /** A second one: deleting a link keeps a socket busy for 20 ms. */
  readonly removal: NetlinkSocket
  readonly ipam: Ipam
  /** Whether this kernel has IPv6 at all. */
  readonly hasIpv6: boolean
  readonly held: HeldSockets
  /** The bridge as it is now; replaced when it had to be made again. */
  bridge: { index: number; mac: Buffer }
  /** By attachment (`id interface`). */
  readonly published: Map<string, Publication>
  /** Containers that are leaving: their addresses are about to be free. Never rejects. */
  readonly detaching: Set<Promise<unknown>>
  /** Links on their way out. */
  readonly removals: Map<string, { timer?: NodeJS.Timeout; done?: Promise<void> }>
}

/** An attachment, as far as rules and links must be kept up for it. */
export interface Publication {
  id: string
  interface: string
  /** The host's end of the pair; undefined until it is attached. */
  link: string | undefined
  /** The link is known to be gone. */
  lost?: boolean
  addresses: string[]
  /** By `portKey`: one more among thousands must not cost a look at all of them. */
  ports: Map<string, PublishedPort>
}

export function publicationOf(attachment: Attachment): Publication {
  const { id, interface: name, hostInterface: link, ports } = attachment
  const addresses = attachment.addresses.map(({ address }) => address)
  return { id, interface: name, link, addresses, ports: portMap(ports) }
}

export function portMap(ports: PublishedPort[]): Map<string, PublishedPort> {
  return new Map(ports.map((port) => [portKey(port), port]))
}

export function portKey({ protocol, hostPort, hostIp }: PublishedPort): string {
  return `${protocol} ${hostPort} ${hostIp}`
}

export function attachmentKey({ id, interface: name }: { id: string; interface: string }): string {
  return `${id} ${name}`
}

/** What marks the host's end of a pair as ours, for `restore` and for people (`ip link`). */
export function linkAlias(
  bridge: string,
  { id, interface: name }: { id: string; interface: string },
): string {
  return `${linkAliasPrefix(bridge)}${id} ${name}`
}

export function linkAliasPrefix(bridge: string): string {
  return `holdfast ${bridge} `
}

/** What marks a bridge as ours. */
export function bridgeAlias({ table, name }: RulesOptions): string {
  return `holdfast network ${table}/${name}`
}
