/**
 * Where the gateways' addresses lie: on the bridge, or, in a network of one VLAN, on an interface of the host's in that
 * VLAN. That is as in the reference bridge plugin, by its name too (`BRIDGE.VLAN`): one end of a pair whose other end is
 * a port of the bridge like a container's. So it needs no 802.1q links, and the host is in no other VLAN of the bridge.
 */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatPrefix, macBytes, networkOf, overlaps, type Prefix } from '../address.ts'
import { portForwards, portStaysDown } from '../bridge-port.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../netlink/netlink.ts'
import { addPortVlan, deletePortVlan } from '../netlink/port-vlans.ts'
import { addAddress, deleteAddress, dumpAddresses, parseAddressReply } from '../netlink/address-requests.ts'
import { deleteLink, IN6_ADDR_GEN_MODE_NONE, newVeth, setLink, type Link } from '../netlink/rtnetlink.ts'
import type { Host } from './host.ts'
import type { BridgeLink } from './network-config.ts'
import { bridgeMark, gatewayName, macOfName, vlanPortName } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

export interface Gateway {
  name: string
  index: number
  mac: string
  /** By this call. */
  created: boolean
}

export interface VlanNeeds {
  link: BridgeLink
  /** On which it is. */
  bridge: { index: number; mtu: number }
  mac: string
}

/** One that somebody else made is used as it is, as a bridge is. */
export async function ensureVlanInterface(host: Host, dir: StateDir, needs: VlanNeeds): Promise<Gateway> {
  const name = gatewayName(needs.link)
  const found = await host.link(name)
  if (found?.up && !(await isCutOff(host, found, needs.bridge)))
    return { ...found, mac: found.mac ?? '', created: false }
  using _ = await dir.installing()
  const created = !(await host.link(name)) && (await createPair(host, needs))
  try {
    const link = (await host.link(name))!
    await connect(host, link, needs)
    return { ...link, mac: link.mac ?? '', created }
  } catch (error) {
    if (created) await host.route.request([deleteLink(name)])
    throw error
  }
}

/** Its bridge was removed and is made anew: the pair is still there. */
async function isCutOff(host: Host, { name, peerIndex }: Link, bridge: { index: number }): Promise<boolean> {
  const port = await host.link(vlanPortName(name))
  return port !== undefined && port.index === peerIndex && port.master !== bridge.index
}

/** False where somebody else was faster. */
async function createPair(host: Host, { link, bridge, mac }: VlanNeeds): Promise<boolean> {
  const name = gatewayName(link)
  const port = vlanPortName(name)
  const peer = { name: port, mac: macBytes(macOfName(port), 'port') }
  try {
    await host.route.request([newVeth({ name, mac: macBytes(mac, 'gateway'), mtu: bridge.mtu, peer })])
    return true
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    return false
  }
}

/** Up comes last: an interface that is up has been seen through, whoever was killed. */
async function connect(
  host: Host,
  { name, index, peerIndex }: Link,
  { link, bridge }: VlanNeeds,
): Promise<void> {
  const portName = vlanPortName(name)
  const port = await host.link(portName)
  if (port === undefined || port.index !== peerIndex) {
    await host.route.request([setLink({ link: index, up: true })])
    return
  }
  if (host.hasIpv6) {
    const conf = `ipv6/conf/${name}`
    host.sysctl({ [`${conf}/accept_ra`]: '0', [`${conf}/accept_dad`]: link.enabledad ? '1' : '0' })
  }
  await host.route.request([
    setLink({ link: index, alias: bridgeMark }),
    setLink({ link: port.index, alias: bridgeMark, master: bridge.index }),
    ...(host.hasIpv6 ? [setLink({ link: port.index, addrGenMode: IN6_ADDR_GEN_MODE_NONE })] : []),
    addPortVlan(port.index, { id: link.vlan, untagged: true }),
    ...(link.preserveDefaultVlan || link.vlan === 1 ? [] : [deletePortVlan(port.index, 1)]),
    setLink({ link: port.index, up: true }),
    setLink({ link: index, up: true }),
  ])
  if (!(await portForwards(host.route, portName, 10_000))) throw portStaysDown(portName, link.bridge)
}

/**
 * An address that is there already and overlaps is in the way, unless forced: that is as in the reference plugin. The
 * other gateways of the same network are not, where the reference plugin has any second IPv4 address in the way.
 */
export async function ensureGatewayAddresses(
  host: Host,
  on: Gateway,
  { gateways, force }: { gateways: readonly Prefix[]; force: boolean },
): Promise<void> {
  for (const gateway of gateways) await ensureGatewayAddress(host, on, { gateway, gateways, force })
}

async function ensureGatewayAddress(
  host: Host,
  on: Gateway,
  { gateway, gateways, force }: { gateway: Prefix; gateways: readonly Prefix[]; force: boolean },
): Promise<void> {
  try {
    await host.route.request([{ ...addAddress(on.index, gateway), flags: NLM_F_CREATE | NLM_F_EXCL }])
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    throw error
  }
  if (on.created) return
  const wanted = new Set(gateways.map(formatPrefix))
  const others = (await host.route.dump(dumpAddresses())).map(parseAddressReply).flatMap((each): Prefix[] => {
    if (each?.index !== on.index || each.address.family !== gateway.family) return []
    const prefix = { ...each.address, length: each.prefixLength }
    return wanted.has(formatPrefix(prefix)) || !inTheWay(prefix, gateway) ? [] : [prefix]
  })
  if (others.length === 0) return
  if (force) {
    await host.route.request(others.map((address) => deleteAddress(on.index, address)))
    return
  }
  await host.route.request([deleteAddress(on.index, gateway)])
  throw new HoldfastError(
    'HF_NETWORK_FAILED',
    `${on.name} has address ${formatPrefix(others[0]!)}, not ${formatPrefix(gateway)}`,
    { hint: 'Set forceAddress to have it replaced, or name another bridge.', details: { link: on.name } },
  )
}

/** Any other IPv4 address is; of IPv6 addresses one whose network overlaps. */
function inTheWay(present: Prefix, wanted: Prefix): boolean {
  if (wanted.family === 4) return true
  return overlaps(networkOf(present, present.length), networkOf(wanted, wanted.length))
}
