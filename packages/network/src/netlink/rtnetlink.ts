/** The messages of rtnetlink(7) that a bridge network needs: links, addresses, routes, neighbours. */
import {
  formatAddress,
  formatAddressFlags,
  formatLink,
  formatNeighbor,
  formatRoute,
  MessageType,
  parseAddress as parseAddressHeader,
  parseLink as parseLinkHeader,
  parseRoute as parseRouteHeader,
  RouteScope,
} from 'netlink/dist/rt/gen_structs.js'
import { addressBytes, addressFromBytes, type Address, type Prefix } from '../address.ts'
import {
  bridgeInfo,
  bridgePortInfo,
  bridgePortOf,
  filtersVlans,
  kindOf,
  vethInfo,
  type BridgePort,
} from './link-info.ts'
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Reply, type Request } from './netlink.ts'
import { attribute, attributesOf, nested, text, textOf } from './netlink-attributes.ts'
import { AF_INET, AF_INET6 } from './protocol-numbers.ts'

export const IFLA_ADDRESS = 1
export const IFLA_IFNAME = 3
export const IFLA_MTU = 4
export const IFLA_LINK = 5
const IFLA_MASTER = 10
export const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_AF_SPEC = 26
export const IFLA_NET_NS_FD = 28
const IFLA_INET_CONF = 1
const IFLA_INET6_ADDR_GEN_MODE = 8

/** linux/ip.h: settings of `net.ipv4.conf.*` that travel in IFLA_INET_CONF. */
export const IPV4_DEVCONF_ARP_NOTIFY = 22
export const IPV4_DEVCONF_ROUTE_LOCALNET = 26
export const IN6_ADDR_GEN_MODE_NONE = 1

export const RT_TABLE_MAIN = 254

/** struct ifinfomsg, ifaddrmsg and rtmsg; attributes follow. */
export const linkHeaderBytes = 16
const addressHeaderBytes = 8
export const routeHeaderBytes = 12

export interface Link {
  index: number
  name: string
  up: boolean
  kind: string | undefined
  alias: string | undefined
  mac: string | undefined
  mtu: number
  /** The bridge's index where the link is a port of one. */
  master: number | undefined
  /** The other end's index, in its own namespace. */
  peerIndex: number | undefined
  /** As a port of a bridge. */
  port: BridgePort | undefined
  /** A bridge that keeps VLANs apart. */
  filtersVlans: boolean
  /** Somebody asked for it to hear every frame. */
  promiscuous: boolean
}

export interface NewVeth {
  name: string
  /** Absent: a port of no bridge. */
  bridgeIndex?: number
  mac?: Buffer
  mtu: number | undefined
  /** `netns`: a descriptor of the namespace that the peer is born in; absent: the socket's. */
  peer: { name: string; mac: Buffer; netns?: number }
}

/** A pair, the peer directly inside its namespace, this end a port of the bridge (or of none) and down. */
export function newVeth(veth: NewVeth): Request {
  const mtu = veth.mtu === undefined ? [] : [attribute(IFLA_MTU, u32(veth.mtu))]
  const peer = [
    attribute(IFLA_IFNAME, text(veth.peer.name)),
    attribute(IFLA_ADDRESS, veth.peer.mac),
    ...(veth.peer.netns === undefined ? [] : [attribute(IFLA_NET_NS_FD, u32(veth.peer.netns))]),
    ...mtu,
  ]
  return {
    type: MessageType.NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `RTM_NEWLINK ${veth.name}`,
    hints: {
      EEXIST: `The network namespace has an interface ${veth.peer.name} already.`,
      ENOTSUP: 'This kernel has no veth pairs: load the module veth.',
    },
    payload: [
      formatLink({}),
      attribute(IFLA_IFNAME, text(veth.name)),
      ...(veth.mac === undefined ? [] : [attribute(IFLA_ADDRESS, veth.mac)]),
      ...(veth.bridgeIndex === undefined ? [] : [attribute(IFLA_MASTER, u32(veth.bridgeIndex))]),
      ...mtu,
      nested(IFLA_LINKINFO, vethInfo(formatLink({}), peer)),
    ],
  }
}

export interface NewBridge {
  name: string
  mac: Buffer
  mtu: number | undefined
}

export function newBridge({ name, mac, mtu }: NewBridge): Request {
  return {
    type: MessageType.NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `RTM_NEWLINK ${name}`,
    hints: { ENOTSUP: 'This kernel has no bridges: load the module bridge.' },
    payload: [
      formatLink({}),
      attribute(IFLA_IFNAME, text(name)),
      attribute(IFLA_ADDRESS, mac),
      ...(mtu === undefined ? [] : [attribute(IFLA_MTU, u32(mtu))]),
      nested(IFLA_LINKINFO, bridgeInfo()),
    ],
  }
}

export interface LinkChange {
  /** Its name, or its index in the socket's namespace. */
  link: string | number
  alias?: string
  mac?: Buffer
  up?: boolean
  /** 0: off its bridge. */
  master?: number
  /** Frames may leave by the port they came in by. */
  hairpin?: boolean
  /** Settings by their IPV4_DEVCONF_ number. */
  ipv4?: Record<number, number>
  addrGenMode?: number
  tolerate?: string[]
}

/** The kernel applies `up` and `master` before the rest: what must come first needs a message of its own. */
export function setLink(change: LinkChange): Request {
  const { link, alias, mac, up, master, hairpin } = change
  return {
    type: MessageType.NEWLINK,
    what: `RTM_NEWLINK ${link}`,
    ...(change.tolerate && { tolerate: change.tolerate }),
    payload: [
      formatLink({
        ...(typeof link === 'number' && { index: link }),
        ...(up !== undefined && { change: { up: true }, flags: up ? { up: true } : {} }),
      }),
      ...(typeof link === 'string' ? [attribute(IFLA_IFNAME, text(link))] : []),
      ...(mac === undefined ? [] : [attribute(IFLA_ADDRESS, mac)]),
      ...(alias === undefined ? [] : [attribute(IFLA_IFALIAS, Buffer.from(alias))]),
      ...(master === undefined ? [] : [attribute(IFLA_MASTER, u32(master))]),
      ...(hairpin === undefined ? [] : [nested(IFLA_LINKINFO, bridgePortInfo({ hairpin }))]),
      ...afSpec(change),
    ],
  }
}

function afSpec({ ipv4, addrGenMode }: LinkChange): Buffer[] {
  const families: Buffer[] = []
  if (ipv4) {
    const settings = Object.entries(ipv4).map(([id, value]) => attribute(Number(id), u32(value)))
    families.push(nested(AF_INET, [nested(IFLA_INET_CONF, settings)]))
  }
  if (addrGenMode !== undefined) {
    families.push(nested(AF_INET6, [attribute(IFLA_INET6_ADDR_GEN_MODE, Buffer.of(addrGenMode))]))
  }
  return families.length === 0 ? [] : [nested(IFLA_AF_SPEC, families)]
}

export function deleteLink(name: string, tolerate: string[] = ['ENODEV']): Request {
  return {
    type: MessageType.DELLINK,
    what: `RTM_DELLINK ${name}`,
    tolerate,
    payload: [formatLink({}), attribute(IFLA_IFNAME, text(name))],
  }
}

export function getLink(name: string, tolerate: string[] = []): Request {
  return {
    type: MessageType.GETLINK,
    what: `RTM_GETLINK ${name}`,
    tolerate,
    payload: [formatLink({}), attribute(IFLA_IFNAME, text(name))],
  }
}

export function dumpLinks(): Request {
  return { type: MessageType.GETLINK, what: 'RTM_GETLINK', payload: [formatLink({})] }
}

export function parseLink({ data }: Reply): Link {
  const { index = 0, flags } = parseLinkHeader(data.subarray(0, linkHeaderBytes))
  const attributes = attributesOf(data.subarray(linkHeaderBytes))
  const mac = attributes.get(IFLA_ADDRESS)
  const info = attributes.get(IFLA_LINKINFO)
  return {
    index,
    name: textOf(attributes.get(IFLA_IFNAME)) ?? '',
    up: flags?.up ?? false,
    kind: kindOf(info),
    alias: textOf(attributes.get(IFLA_IFALIAS)),
    mac: mac && macText(mac),
    mtu: attributes.get(IFLA_MTU)?.readUInt32LE() ?? 0,
    master: attributes.get(IFLA_MASTER)?.readUInt32LE(),
    peerIndex: attributes.get(IFLA_LINK)?.readUInt32LE(),
    port: bridgePortOf(info),
    filtersVlans: filtersVlans(info),
    promiscuous: flags?.promisc ?? false,
  }
}

export interface LinkAddress {
  index: number
  address: Address
  prefixLength: number
  /** IFA_F_…: IFA_F_TENTATIVE while duplicates are looked for. */
  flags: number
}

export const IFA_F_DADFAILED = 0x08
export const IFA_F_TENTATIVE = 0x40

export interface AddressFlags {
  /** The kernel looks whether somebody else has the IPv6 address. */
  dad?: boolean
  /** No route to the address's network comes with it. */
  noPrefixRoute?: boolean
}

/**
 * Without duplicate address detection, unless asked for: who hands out the addresses knows that there are
 * none.
 */
export function addAddress(index: number, address: Prefix, flags: AddressFlags = {}): Request {
  return {
    ...addressRequest(MessageType.NEWADDR, index, address, flags),
    flags: NLM_F_CREATE | NLM_F_REPLACE,
  }
}

export function deleteAddress(index: number, address: Prefix): Request {
  return { ...addressRequest(MessageType.DELADDR, index, address), tolerate: ['EADDRNOTAVAIL'] }
}

function addressRequest(
  type: number,
  index: number,
  address: Prefix,
  { dad = false, noPrefixRoute = false }: AddressFlags = {},
): Request {
  const bytes = addressBytes(address)
  const family = address.family === 4 ? AF_INET : AF_INET6
  const header = formatAddress({
    family,
    prefixlen: address.length,
    index,
    flags: dad ? {} : { nodad: true },
  })
  const broadcast: Buffer[] = []
  if (address.family === 4 && address.length < 31) {
    const hostBits = (1n << BigInt(32 - address.length)) - 1n
    broadcast.push(
      attribute(4 /* IFA_BROADCAST */, addressBytes({ family: 4, value: address.value | hostBits })),
    )
  }
  return {
    type,
    what: `${type === MessageType.NEWADDR ? 'RTM_NEWADDR' : 'RTM_DELADDR'} on link ${index}`,
    payload: [
      header,
      attribute(2 /* IFA_LOCAL */, bytes),
      attribute(1 /* IFA_ADDRESS */, bytes),
      ...broadcast,
      // The header has room for eight bits alone.
      ...(noPrefixRoute
        ? [
            attribute(
              8 /* IFA_FLAGS */,
              u32(formatAddressFlags({ noprefixroute: true, ...(!dad && { nodad: true }) })),
            ),
          ]
        : []),
    ],
    hints: { EACCES: 'IPv6 is switched off for this interface: see net.ipv6.conf.*.disable_ipv6.' },
  }
}

export function dumpAddresses(): Request {
  return { type: MessageType.GETADDR, what: 'RTM_GETADDR', payload: [formatAddress({})] }
}

export function parseAddressReply({ data }: Reply): LinkAddress | undefined {
  const { index = 0, prefixlen = 0, flags = {} } = parseAddressHeader(data.subarray(0, addressHeaderBytes))
  const attributes = attributesOf(data.subarray(addressHeaderBytes))
  const bytes = attributes.get(2) ?? attributes.get(1)
  if (!bytes) return undefined
  return {
    index,
    prefixLength: prefixlen,
    address: addressFromBytes(bytes),
    flags: attributes.get(8)?.readUInt32LE() ?? formatAddressFlags(flags),
  }
}

export function addDefaultRoute(index: number, gateway: Address): Request {
  return {
    type: MessageType.NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `RTM_NEWROUTE default on link ${index}`,
    tolerate: ['EEXIST'], // another network of the container's was there first, as in Docker
    payload: [
      formatRoute({
        family: gateway.family === 4 ? AF_INET : AF_INET6,
        table: RT_TABLE_MAIN,
        protocol: 'BOOT',
        type: 'UNICAST',
      }),
      attribute(5 /* RTA_GATEWAY */, addressBytes(gateway)),
      attribute(4 /* RTA_OIF */, u32(index)),
    ],
  }
}

/** The route to a link's own network, as the kernel makes it with the address. */
export function addLinkRoute(index: number, destination: Prefix, source: Address): Request {
  return {
    type: MessageType.NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `RTM_NEWROUTE on link ${index}`,
    payload: [
      formatRoute({
        family: destination.family === 4 ? AF_INET : AF_INET6,
        dstLen: destination.length,
        table: RT_TABLE_MAIN,
        protocol: 'KERNEL',
        scope: destination.family === 4 ? RouteScope.LINK : RouteScope.UNIVERSE,
        type: 'UNICAST',
      }),
      attribute(1 /* RTA_DST */, addressBytes(destination)),
      attribute(4 /* RTA_OIF */, u32(index)),
      ...(destination.family === 4 ? [attribute(7 /* RTA_PREFSRC */, addressBytes(source))] : []),
      ...(destination.family === 6 ? [attribute(6 /* RTA_PRIORITY */, u32(256))] : []),
    ],
  }
}

export interface Route {
  destination: Prefix
  table: number
  outputIndex: number | undefined
  gateway: Address | undefined
}

export function dumpRoutes(): Request {
  return { type: MessageType.GETROUTE, what: 'RTM_GETROUTE', payload: [formatRoute({})] }
}

/** Undefined for what is neither IPv4 nor IPv6 or no unicast route. */
export function parseRoute({ data }: Reply): Route | undefined {
  const { family, type, dstLen = 0, table = 0 } = parseRouteHeader(data.subarray(0, routeHeaderBytes))
  if ((family !== AF_INET && family !== AF_INET6) || type !== 'UNICAST') return undefined
  const attributes = attributesOf(data.subarray(routeHeaderBytes))
  const bytes = attributes.get(1 /* RTA_DST */) ?? Buffer.alloc(family === AF_INET ? 4 : 16)
  const gateway = attributes.get(5 /* RTA_GATEWAY */)
  return {
    destination: { ...addressFromBytes(bytes), length: dstLen },
    table: attributes.get(15 /* RTA_TABLE */)?.readUInt32LE() ?? table,
    outputIndex: attributes.get(4)?.readUInt32LE(),
    gateway: gateway && addressFromBytes(gateway),
  }
}

/** Tells a link's neighbour cache; the entry is used at once and verified by the kernel in its own time. */
export function addNeighbour(index: number, address: Address, mac: Buffer): Request {
  return {
    type: MessageType.NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `RTM_NEWNEIGH on link ${index}`,
    payload: [
      formatNeighbor({
        family: address.family === 4 ? AF_INET : AF_INET6,
        ifindex: index,
        state: { stale: true },
      }),
      attribute(1 /* NDA_DST */, addressBytes(address)),
      attribute(2 /* NDA_LLADDR */, mac),
    ],
  }
}

/** Holdfast runs on little-endian machines alone: x64 and arm64. */
export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function macText(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
