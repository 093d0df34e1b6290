/** rtnetlink's messages for links that are not the usual pair on a bridge, and for a bridge's ports. */
import { formatLink, MessageType } from 'netlink/dist/rt/gen_structs.js'
import { NLM_F_CREATE, NLM_F_EXCL, type Request } from './netlink.ts'
import { attribute, nested, text, u32 } from './netlink-attributes.ts'
import { IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINK, IFLA_LINKINFO, IFLA_MTU, IFLA_NET_NS_FD } from './rtnetlink.ts'

const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5
const IFLA_BRPORT_ISOLATED = 33

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
      ENOTSUP: `This kernel has no ${kind} links: load the module ${kind}.`,
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
