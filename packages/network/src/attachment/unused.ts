/** The end of a network: its bridge and its rules, once nothing is attached. */
import { dumpPortVlans, parsePortVlans } from '../netlink/port-vlans.ts'
import { deleteLink, dumpLinks, parseLink, type Link } from '../netlink/rtnetlink.ts'
import { attachmentNames } from './attachment-file.ts'
import { removeRules } from './base-rules.ts'
import type { Host } from './host.ts'
import { removeUnusedGuard } from './mac-guard.ts'
import type { BridgeLink, NetworkConfig } from './network-config.ts'
import { networkRules } from './rules-name.ts'
import { bridgeMark, gatewayName, vlanPortName } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

/**
 * Removes what the network's attachments shared, if there is none and nobody is about to make one. A bridge that
 * was not ours stays, and one that has ports.
 */
export async function removeIfUnused(host: Host, dir: StateDir, network: NetworkConfig): Promise<void> {
  using alone = dir.tryAlone()
  if (alone) await removeShared(host, dir, network)
}

/** With the network's lock held. */
export async function removeShared(host: Host, dir: StateDir, network: NetworkConfig): Promise<void> {
  if (attachmentNames(dir).length > 0) return
  const { link } = network
  if (link.kind === 'bridge' && !(await removeLinks(host, link))) return
  await removeUnusedGuard(host)
  await removeRules(host, dir, networkRules(network))
}

/** False where the link that has the gateways' addresses stays: it is another network's too, or not ours. */
async function removeLinks(host: Host, link: BridgeLink): Promise<boolean> {
  const links = (await host.route.dump(dumpLinks())).map(parseLink)
  const bridge = links.find(({ name }) => name === link.bridge)
  const ports = bridge ? links.filter(({ master }) => master === bridge.index) : []
  const name = gatewayName(link)
  if (name === link.bridge) return await removeBridge(host, bridge, ports)
  const gateway = links.find((each) => each.name === name)
  if (gateway && gateway.alias !== bridgeMark) return false
  const others = ports.filter((port) => port.name !== vlanPortName(name))
  if (gateway && (await haveVlan(host, others, link.vlan))) return false
  if (gateway) await host.route.request([deleteLink(name)])
  await removeBridge(host, bridge, others)
  return true
}

async function removeBridge(host: Host, bridge: Link | undefined, ports: Link[]): Promise<boolean> {
  if (!bridge) return true
  if (ports.length > 0 || bridge.alias !== bridgeMark) return false
  await host.route.request([deleteLink(bridge.name)])
  return true
}

async function haveVlan(host: Host, ports: Link[], vlan: number): Promise<boolean> {
  const members = (await host.route.dump(dumpPortVlans()))
    .map(parsePortVlans)
    .flatMap(({ index, vlans }) => (vlans.some(({ id }) => id === vlan) ? [index] : []))
  return ports.some(({ index }) => members.includes(index))
}
