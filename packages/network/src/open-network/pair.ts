/** The pair of links of an attachment: one end on the bridge, the other configured inside the container. */
import { HoldfastError } from '@holdfast/errors'
import { type Address } from '../address.ts'
import type { AttachRequest } from '../bridge.ts'
import { linkAlias, type NetworkContext } from './context.ts'
import { portForwards, portStaysDown } from '../bridge-port.ts'
import { findLink } from '../netlink/find-link.ts'
import { ensureBridge, ensureRules } from '../host-bridge.ts'
import { announceInterface, configureInterface, prepareInterface } from '../inside-interface.ts'
import { NetlinkSocket, NETLINK_ROUTE } from '../netlink/netlink.ts'
import { enslaveAll } from './restore.ts'
import { addDefaultRoute } from '../netlink/route-requests.ts'
import { addNeighbour } from '../netlink/address-requests.ts'
import { getLink, IN6_ADDR_GEN_MODE_NONE, newVeth, parseLink, setLink } from '../netlink/rtnetlink.ts'

const portMilliseconds = 10_000

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
  const { index } = context.bridge
  try {
    peerIndex = await createPair(context, request, connection)
  } catch (error) {
    if (!(await bridgeIsGone(context, index))) throw error
    context.bridge = await ensureBridge(context)
    await ensureRules(context.options, context.plan)
    await enslaveAll(context)
    peerIndex = await createPair(context, request, connection)
  }
  const inside = openInside(context, request)
  try {
    await configureInside(context, inside, peerIndex, connection)
    const { link, mac } = connection
    if (!(await portForwards(context.route, link, portMilliseconds)))
      throw portStaysDown(link, context.options.bridge)
    const gateways = context.plan.ranges.map(({ gateway }) => ({ address: gateway, mac: context.bridge.mac }))
    await announceInterface(inside, { index: peerIndex, mac }, gateways)
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

/** The one of that index. The watch over the host may have made the next one already. */
async function bridgeIsGone({ route, options }: NetworkContext, index: number): Promise<boolean> {
  return (await findLink(route, options.bridge))?.index !== index
}

/** Opened inside the container's network namespace. */
function openInside({ plan, routeTurns }: NetworkContext, request: AttachRequest): NetlinkSocket {
  const socket = NetlinkSocket.open(NETLINK_ROUTE, request.netns, routeTurns)
  try {
    prepareInterface(request.netns, request.interface, { ipv6: plan.families.includes(6) })
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}

async function configureInside(
  { plan, hasIpv6 }: NetworkContext,
  inside: NetlinkSocket,
  index: number,
  { addresses }: Connection,
): Promise<void> {
  await configureInterface(inside, {
    index,
    addresses: addresses.map((address, at) => ({ ...address, length: plan.ranges[at]!.subnet.length })),
    routes: plan.internal ? [] : plan.ranges.map(({ gateway }) => addDefaultRoute(index, gateway)),
    withoutIpv6: hasIpv6 && !plan.families.includes(6),
  })
}
