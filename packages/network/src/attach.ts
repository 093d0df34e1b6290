/** A container joins: an address, a pair of links with one end inside, its ports. Both or none. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatAddress, macBytes, macOf, type Address } from './address.ts'
import type { AttachRequest, Attachment, PublishedPort } from './bridge.ts'
import { attachmentKey, linkAlias, type NetworkContext } from './context.ts'
import { holdPorts, releasePorts } from './hold-ports.ts'
import { ensureBridge, ensureRules, randomLinkName } from './host-bridge.ts'
import type { LeaseOwner } from './ipam.ts'
import { inNetns, writeSysctl } from './netns.ts'
import { NetlinkSocket, NETLINK_ROUTE } from './netlink.ts'
import { translatePorts } from './publish.ts'
import { buryLink } from './removal.ts'
import { enslaveAll } from './restore.ts'
import {
  addAddress,
  addDefaultRoute,
  addNeighbour,
  getLink,
  IN6_ADDR_GEN_MODE_NONE,
  IPV4_DEVCONF_ARP_NOTIFY,
  macText,
  newVeth,
  parseLink,
  setLink,
} from './rtnetlink.ts'
import { validateAttach } from './validate.ts'

const loopbackIndex = 1

export async function attach(context: NetworkContext, request: AttachRequest): Promise<Attachment> {
  const { wishes, mac: wishedMac, ports: mappings } = validateAttach(context.plan, request)
  const key = attachmentKey(request)
  if (context.published.has(key)) {
    throw new HoldfastError(
      'HF_NETWORK_FAILED',
      `${request.id} is attached to network ${context.options.name} already`,
    )
  }
  context.published.set(key, { addresses: [], ports: [] })
  const owner: LeaseOwner = { id: request.id, interface: request.interface, link: randomLinkName() }
  let addresses: Address[] = []
  let ports: PublishedPort[] = []
  try {
    addresses = await leaseAddresses(context, owner, wishes)
    const texts = addresses.map(formatAddress)
    ports = await holdPorts(context, request.id, mappings)
    const mac = wishedMac ?? macBytes(macOf(addresses[0]!), 'mac')
    await connect(context, request, { link: owner.link, mac, addresses, hairpin: ports.length > 0 })
    await translatePorts(context, texts, ports)
    context.published.set(key, { addresses: texts, ports })
    return {
      id: request.id,
      interface: request.interface,
      hostInterface: owner.link,
      mac: macText(mac),
      addresses: context.plan.ranges.map(({ subnet, gateway }, index) => ({
        address: texts[index]!,
        prefixLength: subnet.length,
        gateway: formatAddress(gateway),
      })),
      ports,
    }
  } catch (error) {
    context.published.delete(key)
    releasePorts(context, ports)
    if (addresses.length > 0) {
      context.ipam.leave(owner)
      await buryLink(context, owner.link)
    }
    throw error
  }
}

/**
 * An address that its last owner just left is free once his link is gone: then, and only then, it is waited
 * for.
 */
async function leaseAddresses(
  context: NetworkContext,
  owner: LeaseOwner,
  wishes: Address[],
): Promise<Address[]> {
  const { ranges } = context.plan
  try {
    return context.ipam.lease(ranges, owner, wishes)
  } catch (error) {
    if (!hasCode(error, 'HF_NETWORK_FAILED', 'HF_ADDRESS_POOL_EXHAUSTED')) throw error
    const leaving = context.ipam.leases().filter(({ state }) => state === 'leaving')
    if (leaving.length === 0) throw error
    for (const link of new Set(leaving.map((lease) => lease.link))) await buryLink(context, link)
    return context.ipam.lease(ranges, owner, wishes)
  }
}

interface Connection {
  link: string
  mac: Buffer
  addresses: Address[]
  hairpin: boolean
}

async function connect(
  context: NetworkContext,
  request: AttachRequest,
  connection: Connection,
): Promise<void> {
  let peerIndex: number
  try {
    peerIndex = await createPair(context, request, connection)
  } catch (error) {
    if (!(await bridgeIsGone(context))) throw error
    context.bridge = await ensureBridge(context)
    await ensureRules(context.options, context.plan)
    await enslaveAll(context)
    peerIndex = await createPair(context, request, connection)
  }
  const inside = openInside(context, request)
  try {
    await configureInside(context, inside, peerIndex, connection)
  } finally {
    inside.close()
  }
}

/** One system call; the peer's index, which the link tells as the device that it is "linked" to. */
async function createPair(
  context: NetworkContext,
  request: AttachRequest,
  connection: Connection,
): Promise<number> {
  const { link, mac, addresses, hairpin } = connection
  const replies = await context.route.request([
    newVeth({
      name: link,
      bridgeIndex: context.bridge.index,
      mtu: context.options.mtu,
      peer: { name: request.interface, mac, netns: request.netns },
    }),
    setLink({
      link,
      alias: linkAlias(context.options.bridge, request),
      hairpin,
      ...(context.hasIpv6 && { addrGenMode: IN6_ADDR_GEN_MODE_NONE }),
    }),
    setLink({ link, up: true }),
    ...addresses.map((address) => addNeighbour(context.bridge.index, address, mac)),
    getLink(link),
  ])
  const reply = replies.at(-1)?.[0]
  const peerIndex = reply && parseLink(reply).peerIndex
  if (peerIndex === undefined) throw new HoldfastError('HF_INTERNAL', `the kernel told no peer of ${link}`)
  return peerIndex
}

async function bridgeIsGone({ route, options, bridge }: NetworkContext): Promise<boolean> {
  const [replies] = await route.request([getLink(options.bridge, ['ENODEV'])])
  return replies?.[0] === undefined || parseLink(replies[0]).index !== bridge.index
}

/**
 * The only moment in the container's network namespace, one synchronous call: its socket is opened, and what
 * has no netlink message is written to /proc/sys before the interface is up.
 */
function openInside({ plan, routeTurns }: NetworkContext, request: AttachRequest): NetlinkSocket {
  const socket = NetlinkSocket.open(NETLINK_ROUTE, request.netns, routeTurns)
  try {
    inNetns(request.netns, () => {
      const conf = `ipv6/conf/${request.interface}`
      // Neighbours on the bridge could else reroute the container with a forged advertisement.
      writeSysctl(`${conf}/accept_ra`, '0', true)
      if (plan.families.includes(6)) {
        writeSysctl(`${conf}/disable_ipv6`, '0')
        writeSysctl(`${conf}/accept_dad`, '0', true)
        writeSysctl(`${conf}/ndisc_notify`, '1', true)
      }
    })
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}

async function configureInside(
  context: NetworkContext,
  inside: NetlinkSocket,
  index: number,
  { addresses }: Connection,
): Promise<void> {
  const { plan, bridge, hasIpv6 } = context
  const unusedIpv6 = hasIpv6 && !plan.families.includes(6)
  await inside.request([
    // Announces the address when the interface comes up: to neighbours with a stale entry.
    setLink({
      link: index,
      ipv4: { [IPV4_DEVCONF_ARP_NOTIFY]: 1 },
      ...(unusedIpv6 && { addrGenMode: IN6_ADDR_GEN_MODE_NONE }),
    }),
    ...addresses.map((address, at) =>
      addAddress(index, { ...address, length: plan.ranges[at]!.subnet.length }),
    ),
    setLink({ link: loopbackIndex, up: true }),
    setLink({ link: index, up: true }),
    ...plan.ranges.map(({ gateway }) => addDefaultRoute(index, gateway)),
    ...plan.ranges.map(({ gateway }) => addNeighbour(index, gateway, bridge.mac)),
  ])
}
