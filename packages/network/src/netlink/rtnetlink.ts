/** rtnetlink(7)'s messages for the links that a bridge network needs. */
import { formatLink, MessageType, parseLink as parseLinkHeader } from 'netlink/dist/rt/gen_structs.js'
import {
  bridgeInfo,
  bridgePortInfo,
  bridgePortOf,
  filtersVlans,
  kindOf,
  vethInfo,
  type BridgePort,
} from './link-info.ts'
import { NLM_F_CREATE, NLM_F_EXCL, type Reply, type Request } from './netlink.ts'
import { attribute, attributesOf, nested, text, textOf, u32 } from './netlink-attributes.ts'
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

/** struct ifinfomsg; attributes follow. */
export const linkHeaderBytes = 16

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

export function macText(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
