/**
 * What the stateless verbs take: a network, described once, and what the runtime adds for one container. Plain
 * data, in the words of CNI's configuration; `validate` makes it from a configuration's JSON.
 */
import type { PortMapping } from '../bridge.ts'
import type { Address, Prefix } from '../address.ts'
import type { Range } from '../ipam.ts'

/** A network of the stateless verbs; `validate` makes one of CNI's JSON. */
export interface NetworkConfig {
  /** As CNI restricts it: letters, digits, `_`, `.`, `-`. */
  name: string
  link: LinkConfig
  /** Masquerade what leaves the network. */
  ipMasq: boolean
  mtu?: number
  ipam: IpamConfig
  dns: Dns
  /** Leases and records, in a directory per boot and network; they survive kill -9. */
  stateDir: string
  /** A descriptor of the network namespace that is "the host"; absent: the caller's. */
  hostNetns?: number
}

/** How a container is linked to the host. */
export type LinkConfig = BridgeLink | MacvlanLink | IpvlanLink | PointToPointLink | HostDevice

/** A pair of links, one end a port of a bridge. The words are the reference bridge plugin's. */
export interface BridgeLink {
  kind: 'bridge'
  bridge: string
  /** The bridge has the gateways' addresses. */
  isGateway: boolean
  /** … and is the containers' default route. */
  isDefaultGateway: boolean
  /** An address of the bridge that is in the way is replaced. */
  forceAddress: boolean
  hairpinMode: boolean
  promiscMode: boolean
  /** The port's untagged VLAN; 0: none. */
  vlan: number
  /** Tagged VLANs of the port. */
  vlanTrunk: number[]
  /** Keep VLAN 1 on the port beside them. */
  preserveDefaultVlan: boolean
  /** Drop what does not come from the container's own MAC address. */
  macspoofchk: boolean
  /** Isolated ports reach ports that are not isolated, and not each other. */
  portIsolation: boolean
  /** Wait for duplicate address detection of IPv6 addresses. */
  enabledad: boolean
  /** The container's end stays down, and without addresses. */
  disableContainerInterface: boolean
}

/** if_link.h: MACVLAN_MODE_…. */
export const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const
/** if_link.h: IPVLAN_MODE_…. */
export const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const

/** A link with a MAC address of its own on a link of the host's. */
export interface MacvlanLink {
  kind: 'macvlan'
  /** A link of the host's; absent: that of its default route. */
  master?: string
  mode: keyof typeof macvlanModes
}

/** A link with the MAC address of the host's link that it lies on. `master` as for macvlan. */
export interface IpvlanLink {
  kind: 'ipvlan'
  master?: string
  mode: keyof typeof ipvlanModes
}

/** A pair of links without a bridge, and routes on both sides. */
export interface PointToPointLink {
  kind: 'ptp'
}

/** A link of the host's, moved into the container and back. One of these says which. */
export interface HostDevice {
  kind: 'host-device'
  device?: string
  hwaddr?: string
  /** Below /sys/devices. */
  kernelpath?: string
  pciBusID?: string
}

/** Where addresses come from. */
export type IpamConfig =
  | { from: 'own'; sets: Range[][]; routes: Route[]; reserved: Prefix[] }
  /** Another plugin's result comes with the request. */
  | { from: 'caller' }
  | { from: 'nowhere' }

/** As CNI 1.1.0 has it in results and in IPAM's configuration. */
export interface Route {
  dst: string
  gw?: string
  mtu?: number
  advmss?: number
  priority?: number
  table?: number
  scope?: number
}

/** As CNI 1.1.0 has it. */
export interface Dns {
  nameservers?: string[]
  domain?: string
  search?: string[]
  options?: string[]
}

/** Bits per second, and bits. Ingress is what the container receives. */
export interface Bandwidth {
  ingressRate?: number
  ingressBurst?: number
  egressRate?: number
  egressBurst?: number
}

/** What a runtime adds for one attachment: CNI's capabilities and arguments. */
export interface RuntimeConfig {
  portMappings: PortMapping[]
  /** Addresses that are asked for. */
  ips: Address[]
  ipRanges?: Range[][]
  mac?: string
  bandwidth?: Bandwidth
  dns?: Dns
  /** Names of the container in this network; kept with the attachment. */
  aliases: string[]
}

/** The shape of CNI 1.1.0. */
export interface Result {
  interfaces: ResultInterface[]
  ips: ResultAddress[]
  routes: Route[]
  dns: Dns
}

/** As CNI 1.1.0 has it in results. */
export interface ResultInterface {
  name: string
  mac?: string
  mtu?: number
  /** The network namespace's path; absent or empty: the host's. */
  sandbox?: string
  socketPath?: string
  pciID?: string
}

/** As CNI 1.1.0 has it in results. */
export interface ResultAddress {
  /** With its prefix length: `10.1.2.3/24`. */
  address: string
  gateway?: string
  /** Index of its interface in `interfaces`. */
  interface?: number
}
