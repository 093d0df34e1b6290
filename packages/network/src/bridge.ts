/**
 * The library's verbs for a bridge network; modules beside this one implement them. No engine, no global
 * state.
 */

import type { LearnName } from './policy/dns-name.ts'
import type { EgressPolicy, EgressRule } from './policy/egress-rule.ts'
import type { NetworkEvent } from './open-network/network-event.ts'
import type { Repair } from './open-network/repair.ts'

/** What a network is opened with. Addresses and subnets are text: `10.1.2.0/24`, `fd00:1::/64`. */
export interface BridgeOptions {
  /** The network's name, for messages, rules and the IPAM store. */
  name: string
  /** The bridge device, at most 15 bytes. Made if missing; one that is there and isn't ours is refused. */
  bridge: string
  /** nftables table (families ip and ip6) that holds every rule of this instance. */
  table: string
  /** One per family at most. */
  subnets: { subnet: string; gateway?: string; range?: string }[]
  /** A directory of ours for the leases; they survive restarts and kill -9. */
  stateDir: string
  mtu?: number
  /** What leaves has the host's address; else it has the container's, and somebody must route back to it. */
  ipMasq: boolean
  /**
   * No way out: no default route, nothing passes but between its containers and the host's addresses in the
   * subnets. Ports cannot be published.
   */
  internal?: boolean
  /**
   * Default true: other networks reach nothing but published ports. Networks that are not isolated reach each
   * other, with their own addresses. An internal network is isolated.
   */
  isolated?: boolean
  /** What its containers may send to. Each may have a policy of its own beside it, which must let through too. */
  egress?: EgressPolicy
  /**
   * Addresses that `-p` without a host address binds, where the network has their family; default 0.0.0.0 and
   * ::.
   */
  defaultHostIps?: string[]
  /**
   * Who opens the network serves the ports that come back with `relay`. Without an address `-p` then binds all default
   * addresses, whatever families the network has, as docker does.
   */
  relays?: boolean
  /**
   * Descriptor of the network namespace that is "the host"; default: the process's own. It stays the
   * caller's.
   */
  hostNetns?: number
}

/** What bridge and rules are made from; the leases aside. */
export type RulesOptions = Omit<BridgeOptions, 'stateDir'>

/** A port, or a range of ports, that is to be published. */
export interface PortMapping {
  protocol: 'tcp' | 'udp' | 'sctp'
  containerPort: number
  /** With it each port up to this one is published, for `-p 8000-8010:80-90`: the host's range goes in step. */
  containerPortEnd?: number
  /** 0: a free one is chosen. */
  hostPort: number
  /** Without `containerPortEnd` a range to choose from, for `-p 8000-8010:80`. */
  hostPortEnd?: number
  /** Absent: the network's default addresses. */
  hostIp?: string
}

/** One port of one host address, as it is published. */
export interface PublishedPort {
  protocol: 'tcp' | 'udp' | 'sctp'
  containerPort: number
  hostPort: number
  hostIp: string
  /**
   * The kernel cannot translate this host address, or not all of it: [::1], or one of a family that the network
   * lacks; with `relays` also [::], of which [::1] is a part. Nothing is bound; who wants it served listens there and
   * relays to the container.
   */
  relay?: boolean
}

/** What is attached to a network, and how. */
export interface AttachRequest {
  /** Whose attachment it is: the container's id. One id has one attachment per network. */
  id: string
  /** Descriptor of the container's network namespace. */
  netns: number
  /** Name of the interface inside, `eth0`. */
  interface: string
  /** Addresses wished for; others are chosen. */
  addresses?: string[]
  mac?: string
  ports?: PortMapping[]
  /** What it may send to; in force before its interface is up. Absent: the network's policy alone. */
  egress?: EgressPolicy
}

/** Plain data: store it, and give it back to `detach`, `restore`. */
export interface Attachment {
  id: string
  interface: string
  hostInterface: string
  mac: string
  addresses: { address: string; prefixLength: number; gateway: string }[]
  ports: PublishedPort[]
  /** As it was given; what `allow`, `deny` and `revoke` return replaces it where it is stored. */
  egress?: EgressPolicy
}

/** Whose policy: an attachment's, or the whole network's. */
export type PolicyScope = 'network' | Pick<Attachment, 'id' | 'interface'>

/** How long a detach takes. */
export interface DetachOptions {
  /** Resolve only when the link is gone and its addresses are free (20 ms more). */
  wait?: boolean
}

/** An open network, as `openBridgeNetwork` gives it. */
export interface BridgeNetwork {
  readonly options: BridgeOptions
  /**
   * What on this host keeps packets from containers, each with the fix: a FORWARD policy of DROP, firewalld,
   * …
   */
  readonly warnings: readonly string[]
  /** Both or none: a failed attach leaves nothing. HF_PORT_IN_USE names the holder. */
  attach(request: AttachRequest): Promise<Attachment>
  /**
   * Withdraws the ports, takes the host's side down at once; the pair goes with the network
   * namespace (or is deleted in the background) and the address is free again once it is gone. Idempotent.
   */
  detach(attachment: Attachment, options?: DetachOptions): Promise<void>
  publish(attachment: Attachment, ports: PortMapping[]): Promise<PublishedPort[]>
  unpublish(attachment: Attachment, ports: PublishedPort[]): Promise<void>
  /**
   * Puts rules on the allow list: from then on nothing else may be reached. Where there was no such list, also
   * not with no rules at all. Returns the policy as it is then; connections that it refuses are ended.
   */
  allow(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy>
  /** Puts rules on the deny list, which goes before the allow list. */
  deny(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy>
  /** Takes rules off both lists. An allow list stays, though empty. */
  revoke(scope: PolicyScope, rules: EgressRule[]): Promise<EgressPolicy>
  /** Replaces the lists; undefined: there is no policy any more. */
  setPolicy(scope: PolicyScope, policy: EgressPolicy | undefined): Promise<void>
  /**
   * Takes the answers of a resolver, which rules with DNS names live on. To be awaited before the answer goes to
   * the container. It may be handed over as it is: it needs no `this`.
   */
  readonly learn: LearnName
  /**
   * After a restart: these attachments are the living ones. Their sockets, set elements and leases are taken
   * up again; every other veth, lease, element of this network is removed. Returns what was removed, for the
   * log.
   */
  restore(attachments: Attachment[]): Promise<string[]>
  /**
   * Calls `listener` for what happens to the network from outside, after it was repaired: links lost, the
   * bridge deleted, rules flushed, packets refused. Returns what ends it. What is damaged is repaired whether
   * anybody listens or not.
   */
  watch(listener: (event: NetworkEvent) => void): () => void
  /**
   * Looks now for what is not as it should be, and puts it right (`fix`, the default). The object looks by
   * itself whenever the kernel tells of a change.
   */
  repair(options?: { fix?: boolean }): Promise<Repair[]>
  /** Deletes the links of who was detached, and closes sockets; the network and its containers go on. */
  close(): Promise<void>
  /** Removes bridge, rules and leases. Refused while something is attached. */
  remove(): Promise<void>
}

/** Makes or adopts the bridge and its base ruleset. */
export type OpenBridgeNetwork = (options: BridgeOptions) => Promise<BridgeNetwork>
