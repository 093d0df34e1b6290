/** What the host's end of a pair is as a port of its bridge, compared with what the setup made of it. */
import { inNetns, readSysctl } from '../netns.ts'
import { dumpPortVlans, parsePortVlans, type PortVlan } from '../netlink/port-vlans.ts'
import type { Link } from '../netlink/rtnetlink.ts'
import type { HostLook } from './inspect-host.ts'
import type { BridgeLink } from './network-config.ts'
import { gatewayName, vlanPortName } from './stable-name.ts'

/** What is amiss, one sentence each. */
export async function inspectPort(
  look: HostLook,
  link: BridgeLink,
  { bridge, hostLink }: { bridge: Link; hostLink: Link },
): Promise<string[]> {
  const { name, master, port } = hostLink
  if (master !== bridge.index) return [`${name} is no port of bridge ${link.bridge}`]
  const publishes = look.record.ports.length > 0
  const wanted: [boolean, string][] = [
    // Who reaches himself by a published port needs it, too.
    [port?.hairpin || !(link.hairpinMode || publishes), `${name} is not in hairpin mode any more`],
    [port?.isolated || !link.portIsolation, `${name} is not isolated any more`],
    [bridge.promiscuous || !link.promiscMode, `bridge ${bridge.name} is not in promiscuous mode any more`],
    [
      !publishes || leadsFromLoopback(look, gatewayName(link)),
      `published ports do not answer on 127.0.0.1: net.ipv4.conf.${gatewayName(link)}.route_localnet is 0`,
    ],
  ]
  return [
    ...wanted.flatMap(([isSo, problem]) => (isSo ? [] : [problem])),
    ...(await lookAtVlans(look, link, { bridge, hostLink })),
  ]
}

/** It is of no importance where the interface is gone: that is told anyway. */
function leadsFromLoopback({ host, record }: HostLook, way: string): boolean {
  if (!record.ports.some(({ hostIp }) => !hostIp.includes(':'))) return true
  return inNetns(host.netns, () => readSysctl(`ipv4/conf/${way}/route_localnet`)) !== '0'
}

async function lookAtVlans(
  { host }: HostLook,
  link: BridgeLink,
  { bridge, hostLink }: { bridge: Link; hostLink: Link },
): Promise<string[]> {
  const wanted = [
    ...(link.vlan > 0 ? [{ id: link.vlan, untagged: true }] : []),
    ...link.vlanTrunk.map((id) => ({ id, untagged: false })),
  ]
  if (wanted.length === 0) return []
  const ports = (await host.route.dump(dumpPortVlans())).map(parsePortVlans)
  const vlansOf = ({ index }: Link): PortVlan[] => ports.find((port) => port.index === index)?.vlans ?? []
  // The host's own port in the VLAN; one that somebody else made goes by another name.
  const gateway = link.vlan > 0 ? await host.link(vlanPortName(gatewayName(link))) : undefined
  const lost = [hostLink, ...(gateway ? [gateway] : [])].flatMap((port) =>
    wanted
      .filter(
        ({ id, untagged }) => !vlansOf(port).some((each) => each.id === id && (each.untagged || !untagged)),
      )
      .map(({ id }) => `${port.name} is not in VLAN ${id} any more`),
  )
  const known = new Set([...wanted.map(({ id }) => id), ...(link.preserveDefaultVlan ? [1] : [])])
  const strange = vlansOf(hostLink).filter(({ id }) => !known.has(id))
  return [
    ...(bridge.filtersVlans ? [] : [`bridge ${bridge.name} does not keep VLANs apart any more`]),
    ...lost,
    ...strange.map(({ id }) => `${hostLink.name} is in VLAN ${id}, where it does not belong`),
  ]
}
