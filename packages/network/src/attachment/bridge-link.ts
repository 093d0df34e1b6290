/** The bridge of a network, and a pair of links with one end on it. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { macBytes, macOf, type Prefix } from '../address.ts'
import { portForwards, portStaysDown } from '../bridge-port.ts'
import { enableForwarding } from '../forwarding.ts'
import { isolatePort, setPromiscuous } from '../netlink/link-requests.ts'
import type { Request } from '../netlink/netlink.ts'
import { inNetns } from '../netns.ts'
import { addPortVlan, deletePortVlan, filterVlans } from '../netlink/port-vlans.ts'
import { addNeighbour } from '../netlink/address-requests.ts'
import {
  deleteLink,
  getLink,
  IN6_ADDR_GEN_MODE_NONE,
  IPV4_DEVCONF_ROUTE_LOCALNET,
  newBridge,
  newVeth,
  parseLink,
  setLink,
  type Link,
} from '../netlink/rtnetlink.ts'
import { ensureGatewayAddresses, ensureVlanInterface, type Gateway } from './gateway.ts'
import type { Host } from './host.ts'
import type { InsideAddress } from './inside.ts'
import type { BridgeLink } from './network-config.ts'
import { bridgeMark, gatewayName, macOfName } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

export interface BridgeNeeds {
  link: BridgeLink
  mtu: number | undefined
  addresses: InsideAddress[]
  /** Something is published: 127.0.0.1 must lead out by the bridge, and frames back by the port they came from. */
  publishes: boolean
}

export interface ReadyBridge {
  name: string
  index: number
  mac: string
  mtu: number
  /** By this call. */
  created: boolean
  /** Made by us, at some time: it has no spanning tree, so its ports forward at once. */
  ours: boolean
  /** Where the gateways' addresses are. */
  gateway: Gateway
}

export async function ensureBridge(host: Host, dir: StateDir, needs: BridgeNeeds): Promise<ReadyBridge> {
  const { link } = needs
  let found = await host.link(link.bridge)
  let created = false
  if (!found || !found.up) {
    using _ = await dir.installing()
    ;({ found, created } = await makeBridge(host, needs))
  }
  if (found.kind !== 'bridge') {
    throw new HoldfastError('HF_NETWORK_FAILED', `the host has a link ${link.bridge} that is no bridge`, {
      hint: `It is a ${found.kind ?? 'physical link'}. Name another bridge.`,
      details: { link: link.bridge },
    })
  }
  const ready = { ...found, mac: found.mac ?? '', created, ours: found.alias === bridgeMark }
  try {
    await settings(host, ready, needs)
    const gateway = await ensureGateway(host, dir, ready, needs)
    if (needs.publishes)
      await host.route.request([setLink({ link: gateway.index, ipv4: { [IPV4_DEVCONF_ROUTE_LOCALNET]: 1 } })])
    return { ...ready, gateway }
  } catch (error) {
    if (created) await host.route.request([deleteLink(link.bridge)])
    throw error
  }
}

/** The bridge itself also where there are no gateways: packets of published ports leave by it. */
async function ensureGateway(
  host: Host,
  dir: StateDir,
  bridge: Omit<ReadyBridge, 'gateway'>,
  needs: BridgeNeeds,
): Promise<Gateway> {
  const { link, addresses } = needs
  const gateways = addresses.flatMap(({ address, gateway }): Prefix[] =>
    link.isGateway && gateway ? [{ ...gateway, length: address.length }] : [],
  )
  if (gateways.length === 0) return bridge
  const on =
    link.vlan > 0 ? await ensureVlanInterface(host, dir, { link, bridge, mac: macOf(gateways[0]!) }) : bridge
  try {
    await ensureGatewayAddresses(host, on, { gateways, force: link.forceAddress })
    // A gateway forwards, masqueraded or not.
    const families = [...new Set(gateways.map(({ family }) => family))]
    inNetns(host.netns, () => enableForwarding(families, on.name))
    return on
  } catch (error) {
    if (on !== bridge && on.created) await host.route.request([deleteLink(on.name)])
    throw error
  }
}

async function makeBridge(host: Host, needs: BridgeNeeds): Promise<{ found: Link; created: boolean }> {
  const { link } = needs
  let found = await host.link(link.bridge)
  let created = false
  if (!found) {
    created = await create(host, needs)
    found = (await host.link(link.bridge))!
  }
  if (found.kind !== 'bridge') return { found, created }
  // The mark is written after the bridge is made. Without one, as a kill in between leaves it, its MAC tells.
  const unmarked = found.alias === undefined && found.mac === bridgeMac(needs)
  if (unmarked && host.hasIpv6) {
    // Before it is up: a container could answer with router advertisements, and dad would delay its address.
    const conf = `ipv6/conf/${link.bridge}`
    host.sysctl({ [`${conf}/accept_ra`]: '0', [`${conf}/accept_dad`]: link.enabledad ? '1' : '0' })
  }
  await host.route.request([
    ...(unmarked ? [setLink({ link: link.bridge, alias: bridgeMark })] : []),
    setLink({ link: link.bridge, up: true }),
  ])
  return { found: { ...found, up: true, ...(unmarked && { alias: bridgeMark }) }, created }
}

/** False where somebody else was faster. */
async function create(host: Host, needs: BridgeNeeds): Promise<boolean> {
  const { link, mtu } = needs
  try {
    await host.route.request([
      newBridge({ name: link.bridge, mac: macBytes(bridgeMac(needs), 'bridge'), mtu }),
    ])
    return true
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    return false
  }
}

/** Made without an address of its own, a bridge takes its lowest port's, and changes it as ports come and go. */
function bridgeMac({ link, addresses }: BridgeNeeds): string {
  const gateway = addresses.find((each) => each.gateway)?.gateway
  return gateway && gatewayName(link) === link.bridge ? macOf(gateway) : macOfName(link.bridge)
}

async function settings(
  host: Host,
  { index }: Pick<ReadyBridge, 'index'>,
  { link }: BridgeNeeds,
): Promise<void> {
  const requests: Request[] = [
    ...(link.promiscMode ? [setPromiscuous(index)] : []),
    ...(hasVlans(link) ? [filterVlans(link.bridge)] : []),
  ]
  if (requests.length > 0) await host.route.request(requests)
}

function hasVlans({ vlan, vlanTrunk }: BridgeLink): boolean {
  return vlan > 0 || vlanTrunk.length > 0
}

export interface PairNeeds extends BridgeNeeds {
  bridge: ReadyBridge
  name: string
  alias: string
  inside: { name: string; mac: Buffer; netns: number }
}

/** The pair, its host's end up on the bridge; the other end's index. */
export async function makePair(host: Host, needs: PairNeeds): Promise<{ hostLink: Link; peerIndex: number }> {
  const { link, bridge, name, alias, mtu, inside } = needs
  const replies = await host.route.request([
    newVeth({ name, bridgeIndex: bridge.index, mtu, peer: inside }),
    setLink({
      link: name,
      alias,
      hairpin: link.hairpinMode || needs.publishes,
      ...(host.hasIpv6 && { addrGenMode: IN6_ADDR_GEN_MODE_NONE }),
    }),
    ...(link.portIsolation ? [isolatePort(name)] : []),
    ...(hasVlans(link) ? [] : [setLink({ link: name, up: true })]),
    ...needs.addresses.map(({ address }) => addNeighbour(bridge.gateway.index, address, inside.mac)),
    getLink(name),
  ])
  const hostLink = parseLink(replies.at(-1)![0]!)
  if (hostLink.peerIndex === undefined)
    throw new HoldfastError('HF_INTERNAL', `the kernel told no peer of ${name}`)
  if (hasVlans(link)) await tag(host, hostLink.index, link)
  return { hostLink, peerIndex: hostLink.peerIndex }
}

/** Its VLANs before it is up: no frame passes in another one. */
async function tag(host: Host, index: number, link: BridgeLink): Promise<void> {
  const vlans = link.vlan > 0 ? [{ id: link.vlan, untagged: true }] : []
  await host.route.request([
    ...vlans.map((vlan) => addPortVlan(index, vlan)),
    ...link.vlanTrunk.map((id) => addPortVlan(index, { id, untagged: false })),
    ...(link.preserveDefaultVlan || link.vlan === 1 || link.vlanTrunk.includes(1)
      ? []
      : [deletePortVlan(index, 1)]),
    setLink({ link: index, up: true }),
  ])
}

const patienceMilliseconds = { ours: 10_000, foreign: 200 }

/** Until the first frame gets through. A bridge of somebody else's may take its time, and is not waited for. */
export async function untilForwarding(host: Host, bridge: ReadyBridge, name: string): Promise<void> {
  const patience = patienceMilliseconds[bridge.ours ? 'ours' : 'foreign']
  if (!(await portForwards(host.route, name, patience)) && bridge.ours) throw portStaysDown(name, bridge.name)
}
