/** The host's side of an attachment, compared with what its setup made. */
import { formatAddress, type Address, type Family } from '../address.ts'
import { inNetns, readSysctl } from '../netns.ts'
import { dumpAddresses, parseAddressReply } from '../netlink/address-requests.ts'
import { type Link } from '../netlink/rtnetlink.ts'
import { dumpDisciplines, parseDiscipline } from '../netlink/traffic-control.ts'
import type { AttachmentRecord } from './attachment-file.ts'
import type { Host } from './host.ts'
import type { InsideAddress } from './inside.ts'
import type { BridgeLink, ResultInterface } from './network-config.ts'
import { bucketOf } from './shaping.ts'
import { inspectPort } from './inspect-port.ts'
import { bridgeMark, gatewayName } from './stable-name.ts'
import type { InspectRequest } from './verbs.ts'

export interface HostLook {
  host: Host
  request: InspectRequest
  record: AttachmentRecord
  addresses: InsideAddress[]
  /** The container's end, where it is there. */
  inside: Link | undefined
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
    ...lookAtPair(look, hostLink),
    ...(await lookAtShaping(look, hostLink)),
    ...(link.kind === 'bridge' ? await lookAtBridge(look, link, hostLink) : []),
  ]
}

/** The host's end has still what it was made with, and leads to the interface inside. */
function lookAtPair(look: HostLook, hostLink: Link): string[] {
  const { inside } = look
  const { name, mac, mtu, index, peerIndex } = hostLink
  const told = toldOf(look, name)
  return [
    ...(told?.mac === undefined || mac === told.mac
      ? []
      : [`${name} has MAC address ${mac}, not ${told.mac}`]),
    ...(told?.mtu === undefined || mtu === told.mtu ? [] : [`${name} has an MTU of ${mtu}, not ${told.mtu}`]),
    ...(!inside || (inside.peerIndex === index && inside.index === peerIndex)
      ? []
      : [`${name} does not lead to ${inside.name} any more`]),
  ]
}

/** What the setup told of one of the host's links. */
function toldOf({ record }: HostLook, link: string): ResultInterface | undefined {
  return record.result?.interfaces.find(({ name, sandbox }) => name === link && !sandbox)
}

async function lookAtBridge(look: HostLook, link: BridgeLink, hostLink: Link): Promise<string[]> {
  const { host, addresses } = look
  const bridge = await host.link(link.bridge)
  if (!bridge) return [`bridge ${link.bridge} is gone`]
  const problems: string[] = []
  if (!bridge.up) problems.push(`bridge ${link.bridge} is down`)
  // One that somebody else made may take the address of a port of its.
  const mac = bridge.alias === bridgeMark ? toldOf(look, bridge.name)?.mac : undefined
  if (mac !== undefined && bridge.mac !== mac)
    problems.push(`bridge ${bridge.name} has MAC address ${bridge.mac}, not ${mac}`)
  problems.push(...(await inspectPort(look, link, { bridge, hostLink })))
  const gateways = addresses.flatMap(({ gateway }) => (link.isGateway && gateway ? [gateway] : []))
  if (gateways.length === 0) return problems
  problems.push(...lookAtForwarding(host, new Set(gateways.map(({ family }) => family))))
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

/** A gateway forwards: the next setup would switch it on again. */
function lookAtForwarding({ netns }: Host, families: Set<Family>): string[] {
  return [...families].flatMap((family) => {
    const key = family === 4 ? 'ipv4/ip_forward' : 'ipv6/conf/all/forwarding'
    const isOff = inNetns(netns, () => readSysctl(key)) === '0'
    return isOff ? [`net.${key.replaceAll('/', '.')} is 0: nothing gets out of the network`] : []
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
