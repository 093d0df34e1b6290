/** rtnetlink's messages for the VLANs of a bridge's ports (linux/if_bridge.h). */
import { formatLink, MessageType, parseLink as parseLinkHeader } from 'netlink/dist/rt/gen_structs.js'
import type { Reply, Request } from './netlink.ts'
import { attribute, attributeList, attributesOf, nested, text, u32 } from './netlink-attributes.ts'
import { IFLA_IFNAME, IFLA_LINKINFO, linkHeaderBytes } from './rtnetlink.ts'

const AF_BRIDGE = 7
const IFLA_AF_SPEC = 26
const IFLA_EXT_MASK = 29
const RTEXT_FILTER_BRVLAN = 1 << 1
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_BR_VLAN_FILTERING = 7
const IFLA_BRIDGE_FLAGS = 0
const IFLA_BRIDGE_VLAN_INFO = 2
const BRIDGE_FLAGS_MASTER = 1
const BRIDGE_VLAN_INFO_PVID = 1 << 1
const BRIDGE_VLAN_INFO_UNTAGGED = 1 << 2

const noVlans = { ENOTSUP: 'This kernel’s bridges have no VLANs: it needs CONFIG_BRIDGE_VLAN_FILTERING.' }

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

export function addPortVlan(index: number, vlan: PortVlan): Request {
  return portVlan(MessageType.SETLINK, index, vlan)
}

export function deletePortVlan(index: number, id: number): Request {
  return { ...portVlan(MessageType.DELLINK, index, { id, untagged: false }), tolerate: ['ENOENT'] }
}

function portVlan(type: number, index: number, { id, untagged }: PortVlan): Request {
  const info = Buffer.alloc(4)
  info.writeUInt16LE(untagged ? BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED : 0, 0)
  info.writeUInt16LE(id, 2)
  const flags = Buffer.alloc(2)
  flags.writeUInt16LE(BRIDGE_FLAGS_MASTER)
  return {
    type,
    what: `VLAN ${id} on link ${index}`,
    hints: noVlans,
    payload: [
      formatLink({ index, family: AF_BRIDGE }),
      nested(IFLA_AF_SPEC, [attribute(IFLA_BRIDGE_FLAGS, flags), attribute(IFLA_BRIDGE_VLAN_INFO, info)]),
    ],
  }
}

export function dumpPortVlans(): Request {
  return {
    type: MessageType.GETLINK,
    what: 'RTM_GETLINK of bridges',
    payload: [formatLink({ family: AF_BRIDGE }), attribute(IFLA_EXT_MASK, u32(RTEXT_FILTER_BRVLAN))],
  }
}

export interface PortVlans {
  /** A port of some bridge, or a bridge itself. */
  index: number
  /** `untagged`: it is the port's own. */
  vlans: PortVlan[]
}

export function parsePortVlans({ data }: Reply): PortVlans {
  const { index = 0 } = parseLinkHeader(data.subarray(0, linkHeaderBytes))
  const spec = attributesOf(data.subarray(linkHeaderBytes)).get(IFLA_AF_SPEC)
  const vlans = spec ? attributeList(spec, IFLA_BRIDGE_VLAN_INFO) : []
  return {
    index,
    vlans: vlans.map((info) => ({
      id: info.readUInt16LE(2),
      untagged: (info.readUInt16LE(0) & BRIDGE_VLAN_INFO_PVID) !== 0,
    })),
  }
}
