/** rtnetlink's messages for links that are not the usual pair on a bridge, and for a bridge's ports and VLANs. */
import { formatLink, MessageType } from 'netlink/dist/rt/gen_structs.js'
import { NLM_F_CREATE, NLM_F_EXCL, type Request } from './netlink.ts'
import { attribute, nested, text } from './netlink-attributes.ts'
import {
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_LINK,
  IFLA_LINKINFO,
  IFLA_MTU,
  IFLA_NET_NS_FD,
  u32,
} from './rtnetlink.ts'

const AF_BRIDGE = 7
const IFLA_AF_SPEC = 26
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5
const IFLA_BR_VLAN_FILTERING = 7
const IFLA_BRPORT_ISOLATED = 33
const IFLA_BRIDGE_FLAGS = 0
const IFLA_BRIDGE_VLAN_INFO = 2
const BRIDGE_FLAGS_MASTER = 1
const BRIDGE_FLAGS_SELF = 2
const BRIDGE_VLAN_INFO_PVID = 1 << 1
const BRIDGE_VLAN_INFO_UNTAGGED = 1 << 2

export interface NewLink {
  kind: 'macvlan' | 'ipvlan' | 'ifb'
  name: string
  /** The index of the host's link that it sits on. */
  parent?: number
  /** A descriptor of the namespace that it is born in; absent: the socket's. */
  netns?: number
  mac?: Buffer | undefined
  mtu?: number | undefined
  /** IFLA_INFO_DATA, encoded. */
  data?: Buffer[]
}

export function newLink(link: NewLink): Request {
  const { kind, name, parent, netns, mac, mtu, data = [] } = link
  return {
    type: MessageType.NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `RTM_NEWLINK ${name}`,
    hints: {
      EOPNOTSUPP: `This kernel has no ${kind} links: load the module ${kind}.`,
      EEXIST: `There is an interface ${name} already.`,
      EBUSY: 'The parent link is in use in a way that excludes this: as a bridge’s port, or by another mode.',
    },
    payload: [
      formatLink({}),
      attribute(IFLA_IFNAME, text(name)),
      ...(parent === undefined ? [] : [attribute(IFLA_LINK, u32(parent))]),
      ...(netns === undefined ? [] : [attribute(IFLA_NET_NS_FD, u32(netns))]),
      ...(mac === undefined ? [] : [attribute(IFLA_ADDRESS, mac)]),
      ...(mtu === undefined ? [] : [attribute(IFLA_MTU, u32(mtu))]),
      nested(IFLA_LINKINFO, [
        attribute(IFLA_INFO_KIND, text(kind)),
        ...(data.length > 0 ? [nested(IFLA_INFO_DATA, data)] : []),
      ]),
    ],
  }
}

/** IFLA_INFO_DATA of both kinds begins with the mode. */
export function macvlanData(mode: number): Buffer[] {
  return [attribute(1 /* IFLA_MACVLAN_MODE */, u32(mode))]
}

export function ipvlanData(mode: number): Buffer[] {
  return [attribute(1 /* IFLA_IPVLAN_MODE */, Buffer.of(mode, 0))]
}

/** Moves a link to another network namespace, where it is called `name`. It goes down on the way. */
export function moveLink(index: number, netns: number, name: string): Request {
  return {
    type: MessageType.NEWLINK,
    what: `RTM_NEWLINK ${name}`,
    hints: {
      EEXIST: `The network namespace has an interface ${name} already.`,
      EINVAL: 'This link belongs to its network namespace and cannot be moved.',
    },
    payload: [
      formatLink({ index }),
      attribute(IFLA_IFNAME, text(name)),
      attribute(IFLA_NET_NS_FD, u32(netns)),
    ],
  }
}

export function setMtu(index: number, mtu: number): Request {
  return {
    type: MessageType.NEWLINK,
    what: `RTM_NEWLINK ${index}`,
    payload: [formatLink({ index }), attribute(IFLA_MTU, u32(mtu))],
  }
}

export function setPromiscuous(index: number): Request {
  const header = formatLink({ index, flags: { promisc: true }, change: { promisc: true } })
  return { type: MessageType.NEWLINK, what: `RTM_NEWLINK ${index}`, payload: [header] }
}

/** Isolated ports of a bridge exchange frames with ports that are not isolated, and not with each other. */
export function isolatePort(name: string): Request {
  return {
    type: MessageType.NEWLINK,
    what: `RTM_NEWLINK ${name}`,
    payload: [
      formatLink({}),
      attribute(IFLA_IFNAME, text(name)),
      nested(IFLA_LINKINFO, [
        attribute(IFLA_INFO_SLAVE_KIND, text('bridge')),
        nested(IFLA_INFO_SLAVE_DATA, [attribute(IFLA_BRPORT_ISOLATED, Buffer.of(1))]),
      ]),
    ],
  }
}

const noVlans = { EOPNOTSUPP: 'This kernel’s bridges have no VLANs: it needs CONFIG_BRIDGE_VLAN_FILTERING.' }

export function filterVlans(bridge: string): Request {
  return {
    type: MessageType.NEWLINK,
    what: `RTM_NEWLINK ${bridge}`,
    hints: noVlans,
    payload: [
      formatLink({}),
      attribute(IFLA_IFNAME, text(bridge)),
      nested(IFLA_LINKINFO, [
        attribute(IFLA_INFO_KIND, text('bridge')),
        nested(IFLA_INFO_DATA, [attribute(IFLA_BR_VLAN_FILTERING, Buffer.of(1))]),
      ]),
    ],
  }
}

export interface PortVlan {
  id: number
  /** What the port sends without a tag belongs to it, and is sent without a tag. */
  untagged: boolean
}

/** `self`: the bridge's own port. */
export function addPortVlan(index: number, vlan: PortVlan, self = false): Request {
  return portVlan(MessageType.SETLINK, index, vlan, self)
}

export function deletePortVlan(index: number, id: number): Request {
  return { ...portVlan(MessageType.DELLINK, index, { id, untagged: false }, false), tolerate: ['ENOENT'] }
}

function portVlan(type: number, index: number, { id, untagged }: PortVlan, self: boolean): Request {
  const header = formatLink({ index, family: AF_BRIDGE })
  const info = Buffer.alloc(4)
  info.writeUInt16LE(untagged ? BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED : 0, 0)
  info.writeUInt16LE(id, 2)
  const flags = Buffer.alloc(2)
  flags.writeUInt16LE(self ? BRIDGE_FLAGS_SELF : BRIDGE_FLAGS_MASTER)
  return {
    type,
    what: `VLAN ${id} on link ${index}`,
    hints: noVlans,
    payload: [
      header,
      nested(IFLA_AF_SPEC, [attribute(IFLA_BRIDGE_FLAGS, flags), attribute(IFLA_BRIDGE_VLAN_INFO, info)]),
    ],
  }
}
