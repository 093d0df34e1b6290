/** The host's side of an attachment, compared with what its setup made. */
import { formatAddress, type Address } from '../address.ts'
import { dumpPortVlans, parsePortVlans } from '../port-vlans.ts'
import { dumpAddresses, parseAddressReply, type Link } from '../rtnetlink.ts'
import { dumpDisciplines, parseDiscipline } from '../traffic-control.ts'
import type { AttachmentRecord } from './attachment-file.ts'
import type { Host } from './host.ts'
import type { InsideAddress } from './inside.ts'
import type { BridgeLink } from './network-config.ts'
import { bucketOf } from './shaping.ts'
import { gatewayName, vlanPortName } from './stable-name.ts'
import type { InspectRequest } from './verbs.ts'

export interface HostLook {
  host: Host
  request: InspectRequest
  record: AttachmentRecord
  addresses: InsideAddress[]
}

/** What is amiss on the host's side of an attachment, its rules aside; one sentence each. */
export async function inspectHost(look: HostLook): Promise<string[]> {
  const { host, request, record } = look
  const { link } = request.network
  if (record.hostLink === undefined) return []
  const hostLink = await host.link(record.hostLink)
  if (!hostLink) return [`the host's link ${record.hostLink} is gone`]
  return [
    ...(hostLink.up ? [] : [`the host's link ${record.hostLink} is down`]),
    ...(await lookAtShaping(look, hostLink)),
    ...(link.kind === 'bridge' ? await lookAtBridge(look, link, hostLink) : []),
  ]
}

async function lookAtBridge(look: HostLook, link: BridgeLink, hostLink: Link): Promise<string[]> {
  const { host, addresses } = look
  const bridge = await host.link(link.bridge)
  if (!bridge) return [`bridge ${link.bridge} is gone`]
  const problems: string[] = []
  if (!bridge.up) problems.push(`bridge ${link.bridge} is down`)
  if (hostLink.master !== bridge.index) problems.push(`${hostLink.name} is no port of bridge ${link.bridge}`)
  problems.push(...(await lookAtVlans(look, link, hostLink)))
  const gateways = addresses.flatMap(({ gateway }) => (link.isGateway && gateway ? [gateway] : []))
  if (gateways.length === 0) return problems
  const name = gatewayName(link)
  const on = name === bridge.name ? bridge : await host.link(name)
  if (!on) return [...problems, `${name}, the host’s interface in VLAN ${link.vlan}, is gone`]
  if (!on.up) problems.push(`${name} is down`)
  const own = (await host.route.dump(dumpAddresses())).map(parseAddressReply)
  for (const gateway of gateways) {
    const found = own.some((each) => each?.index === on.index && isSame(each.address, gateway))
    if (!found) problems.push(`${name} has lost its address ${formatAddress(gateway)}`)
  }
  return problems
}

async function lookAtVlans({ host }: HostLook, link: BridgeLink, hostLink: Link): Promise<string[]> {
  const wanted = [
    ...(link.vlan > 0 ? [{ id: link.vlan, untagged: true }] : []),
    ...link.vlanTrunk.map((id) => ({ id, untagged: false })),
  ]
  if (wanted.length === 0) return []
  const ports = (await host.route.dump(dumpPortVlans())).map(parsePortVlans)
  // The host's own port in the VLAN; one that somebody else made goes by another name.
  const gateway = link.vlan > 0 ? await host.link(vlanPortName(gatewayName(link))) : undefined
  return [hostLink, ...(gateway ? [gateway] : [])].flatMap(({ name, index }) => {
    const vlans = ports.find((port) => port.index === index)?.vlans ?? []
    return wanted
      .filter(({ id, untagged }) => !vlans.some((each) => each.id === id && (each.untagged || !untagged)))
      .map(({ id }) => `${name} is not in VLAN ${id} any more`)
  })
}

function isSame(a: Address, b: Address): boolean {
  return formatAddress(a) === formatAddress(b)
}

async function lookAtShaping({ host, request, record }: HostLook, hostLink: Link): Promise<string[]> {
  const problems: string[] = []
  const bandwidth = request.runtime?.bandwidth
  if (!bandwidth) return []
  const disciplines = (await host.route.dump(dumpDisciplines())).map(parseDiscipline)
  const rateOf = (index: number | undefined): number | undefined =>
    disciplines.find((each) => each.index === index && each.bucket)?.bucket?.rate
  const ingress = bucketOf(bandwidth.ingressRate, bandwidth.ingressBurst)
  if (ingress && rateOf(hostLink.index) !== ingress.rate)
    problems.push('what the container receives is not limited as it should be')
  const egress = bucketOf(bandwidth.egressRate, bandwidth.egressBurst)
  const shaper = egress && record.shaper !== undefined ? await host.link(record.shaper) : undefined
  if (egress && rateOf(shaper?.index) !== egress.rate)
    problems.push('what the container sends is not limited as it should be')
  return problems
}
