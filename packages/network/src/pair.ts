/** The pair of links of an attachment: one end on the bridge, the other configured inside the container. */
import { HoldfastError } from '@holdfast/errors'
import { type Address } from './address.ts'
import type { AttachRequest } from './bridge.ts'
import { linkAlias, type NetworkContext } from './context.ts'
import { ensureBridge, ensureRules } from './host-bridge.ts'
import { inNetns, writeSysctl } from './netns.ts'
import { NetlinkSocket, NETLINK_ROUTE } from './netlink.ts'
import { enslaveAll } from './restore.ts'
import {
  addAddress,
  addDefaultRoute,
  addNeighbour,
  getLink,
  IN6_ADDR_GEN_MODE_NONE,
  IPV4_DEVCONF_ARP_NOTIFY,
  newVeth,
  parseLink,
  setLink,
} from './rtnetlink.ts'

const loopbackIndex = 1
/** About as many milliseconds. */
const portAttempts = 2_000

export interface Connection {
  link: string
  mac: Buffer
  addresses: Address[]
  hairpin: boolean
}

/** The pair, and its inside. Nothing is undone here when it fails: the caller removes the link. */
export async function connect(
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
    await untilForwarding(context, connection.link)
    await announce(context, inside, peerIndex, connection.mac)
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
  const { plan, hasIpv6 } = context
  const unusedIpv6 = hasIpv6 && !plan.families.includes(6)
  await inside.request([
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
    ...(plan.internal ? [] : plan.ranges.map(({ gateway }) => addDefaultRoute(index, gateway))),
  ])
}

/**
 * The bridge learns from a work queue that its port has a carrier; until then it drops what the container
 * sends, and a lost first packet costs a second. Being asked for the link makes the kernel run that queue
 * (Linux 6.8); before, it is asked until it has.
 */
async function untilForwarding({ route, options }: NetworkContext, link: string): Promise<void> {
  for (let attempt = 0; attempt < portAttempts; attempt++) {
    const [replies] = await route.request([getLink(link)])
    if (replies?.[0] && parseLink(replies[0]).forwarding) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  throw new HoldfastError(
    'HF_NETWORK_FAILED',
    `the port ${link} of bridge ${options.bridge} does not come up`,
    {
      hint: 'Is the bridge up, and is spanning tree off (ip -d link show)?',
    },
  )
}

/**
 * Being given its own MAC address once more makes the interface announce its addresses (gratuitous ARP,
 * unsolicited neighbour advertisement), so that nobody goes on sending to whoever had them before. It forgets
 * its neighbours by that, so the gateway is told to it afterwards.
 */
async function announce(
  context: NetworkContext,
  inside: NetlinkSocket,
  index: number,
  mac: Buffer,
): Promise<void> {
  const { plan, bridge } = context
  await inside.request([
    setLink({ link: index, mac }),
    ...plan.ranges.map(({ gateway }) => addNeighbour(index, gateway, bridge.mac)),
  ])
}
