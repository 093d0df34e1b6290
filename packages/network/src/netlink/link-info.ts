/**
 * What goes into IFLA_LINKINFO for the kinds of link that a bridge network is made of (linux/if_link.h). The
 * `netlink` package leaves that attribute raw.
 */
import { attribute, attributesOf, nested, text, textOf } from './netlink-attributes.ts'

const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5

const VETH_INFO_PEER = 1
const IFLA_BR_FORWARD_DELAY = 1
const IFLA_BR_STP_STATE = 5
const IFLA_BR_VLAN_FILTERING = 7
const IFLA_BRPORT_STATE = 1
const IFLA_BRPORT_MODE = 4
const IFLA_BRPORT_ISOLATED = 33
const BR_STATE_FORWARDING = 3

/**
 * VETH_INFO_PEER holds an ifinfomsg and the peer's own attributes: name, address, the namespace it is born
 * in.
 */
export function vethInfo(peerHeader: Buffer, peerAttributes: Buffer[]): Buffer[] {
  return [
    attribute(IFLA_INFO_KIND, text('veth')),
    nested(IFLA_INFO_DATA, [nested(VETH_INFO_PEER, [peerHeader, ...peerAttributes])]),
  ]
}

/** No spanning tree, so that a new port forwards at once. */
export function bridgeInfo(): Buffer[] {
  return [
    attribute(IFLA_INFO_KIND, text('bridge')),
    nested(IFLA_INFO_DATA, [
      attribute(IFLA_BR_FORWARD_DELAY, Buffer.alloc(4)),
      attribute(IFLA_BR_STP_STATE, Buffer.alloc(4)),
    ]),
  ]
}

export function bridgePortInfo({ hairpin }: { hairpin: boolean }): Buffer[] {
  return [
    attribute(IFLA_INFO_SLAVE_KIND, text('bridge')),
    nested(IFLA_INFO_SLAVE_DATA, [attribute(IFLA_BRPORT_MODE, Buffer.of(hairpin ? 1 : 0))]),
  ]
}

/** `veth`, `bridge`, …; undefined for physical links. */
export function kindOf(linkInfo: Buffer | undefined): string | undefined {
  return linkInfo && textOf(attributesOf(linkInfo).get(IFLA_INFO_KIND))
}

export interface BridgePort {
  /** It passes frames already. */
  forwarding: boolean
  hairpin: boolean
  isolated: boolean
}

/** Undefined for what is no port of a bridge. */
export function bridgePortOf(linkInfo: Buffer | undefined): BridgePort | undefined {
  const attributes = linkInfo && attributesOf(linkInfo)
  const data = attributes?.get(IFLA_INFO_SLAVE_DATA)
  if (!data || textOf(attributes?.get(IFLA_INFO_SLAVE_KIND)) !== 'bridge') return undefined
  const port = attributesOf(data)
  return {
    forwarding: port.get(IFLA_BRPORT_STATE)?.[0] === BR_STATE_FORWARDING,
    hairpin: port.get(IFLA_BRPORT_MODE)?.[0] === 1,
    isolated: port.get(IFLA_BRPORT_ISOLATED)?.[0] === 1,
  }
}

/** Of a bridge: whether it keeps VLANs apart. */
export function filtersVlans(linkInfo: Buffer | undefined): boolean {
  const data = linkInfo && attributesOf(linkInfo).get(IFLA_INFO_DATA)
  return data !== undefined && attributesOf(data).get(IFLA_BR_VLAN_FILTERING)?.[0] === 1
}
