/** The interface inside the container: its settings, addresses and routes, and its announcement. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import {
  formatAddress,
  formatPrefix,
  networkOf,
  parseAddress,
  parseInterfaceAddress,
  type Address,
  type Prefix,
} from '../address.ts'
import { announceInterface, configureInterface, prepareInterface } from '../inside-interface.ts'
import { NETLINK_ROUTE, type NetlinkSocket } from '../netlink/netlink.ts'
import { addRoute, dumpRoutes, parseRoute, RT_TABLE_MAIN, type NewRoute } from '../netlink/route-requests.ts'
import {
  dumpAddresses,
  IFA_F_DADFAILED,
  IFA_F_TENTATIVE,
  parseAddressReply,
} from '../netlink/address-requests.ts'
import type { Host } from './host.ts'
import type { Result, Route } from './network-config.ts'
import { openNetlink } from './waiting.ts'

/** RFC 4862: one probe and a second of silence; some more where the kernel waits for a random time first. */
const dadMilliseconds = 5_000

export interface InsideAddress {
  address: Prefix
  gateway: Address | undefined
}

export interface InsideOptions {
  netns: number
  name: string
  addresses: InsideAddress[]
  routes: NewRouteWish[]
  /** Look for duplicates of IPv6 addresses, and wait for the outcome. */
  dad: boolean
  /** Routes to the addresses' networks are given in `routes`. */
  noPrefixRoute: boolean
  /** The gateways' MAC address, where it is known. */
  gatewayMac?: Buffer | undefined
}

export type NewRouteWish = Omit<NewRoute, 'index'>

/** Opened inside; settings that have no netlink message are written before the interface is up. */
export function openInside(host: Host, { netns, name, addresses, dad }: InsideOptions): NetlinkSocket {
  const socket = openNetlink(NETLINK_ROUTE, netns)
  try {
    const ipv6 = addresses.some(({ address }) => address.family === 6)
    if (host.hasIpv6) prepareInterface(netns, name, { ipv6, dad })
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}

/** Up, with addresses and routes. */
export async function configureInside(
  host: Host,
  socket: NetlinkSocket,
  { index, options }: { index: number; options: InsideOptions },
): Promise<void> {
  const { addresses, routes, dad, noPrefixRoute } = options
  const ranked = routes.filter(isRanked)
  await configureInterface(socket, {
    index,
    addresses: addresses.map(({ address }) => address),
    routes: routes.filter((route) => !isRanked(route)).map((route) => addRoute({ ...route, index })),
    dad,
    noPrefixRoute,
    withoutIpv6:
      host.hasIpv6 && addresses.length > 0 && !addresses.some(({ address }) => address.family === 6),
  })
  for (const route of ranked) await addBehind(socket, { ...route, index })
}

function isRanked({ gateway, priority }: NewRouteWish): boolean {
  return gateway !== undefined && priority === undefined
}

/** The kernel's own. */
const usualPriority = { 4: 0, 6: 1024 }
/** Two networks that come at once may take one place. */
const attempts = 16

/**
 * Behind those to the same destination by other interfaces, and there when they are gone. Of the same priority, the kernel
 * uses IPv6 routes in turn, and of IPv4's default routes the one whose gateway has answered ARP (fib_select_default): the
 * answers to what came in by the other network would leave by the wrong one.
 */
async function addBehind(socket: NetlinkSocket, route: NewRoute): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const request = addRoute({ ...route, priority: await placeBehind(socket, route) })
    try {
      await socket.request([{ ...request, tolerate: [] }])
      return
    } catch (error) {
      if (!hasCode(error, 'EEXIST') || attempt === attempts) throw error
    }
  }
}

async function placeBehind(
  socket: NetlinkSocket,
  { destination, table = RT_TABLE_MAIN }: NewRoute,
): Promise<number> {
  const there = (await socket.dump(dumpRoutes())).map(parseRoute).filter((each) => each !== undefined)
  const before = there.filter(
    (each) => each.table === table && formatPrefix(each.destination) === formatPrefix(destination),
  )
  return Math.max(usualPriority[destination.family], ...before.map(({ priority }) => priority + 1))
}

/** So that nobody goes on sending to whoever had its addresses before. */
export async function announce(
  socket: NetlinkSocket,
  own: { index: number; mac: Buffer },
  { addresses, gatewayMac: mac }: InsideOptions,
): Promise<void> {
  const gateways = addresses.flatMap(({ gateway }) => (gateway && mac ? [{ address: gateway, mac }] : []))
  await announceInterface(socket, own, gateways)
}

/** HF_NETWORK_FAILED where somebody has the address already. */
export async function untilUnique(socket: NetlinkSocket, index: number): Promise<void> {
  const deadline = performance.now() + dadMilliseconds
  for (;;) {
    const replies = await socket.dump(dumpAddresses())
    const own = replies.map(parseAddressReply).filter((each) => each?.index === index)
    const failed = own.find((each) => each && (each.flags & IFA_F_DADFAILED) !== 0)
    if (failed) {
      const message = `somebody in the network has address ${formatAddress(failed.address)} already`
      throw new HoldfastError('HF_NETWORK_FAILED', message, {
        hint: 'Duplicate address detection found him.',
      })
    }
    if (!own.some((each) => each && (each.flags & IFA_F_TENTATIVE) !== 0)) return
    if (performance.now() > deadline) {
      throw new HoldfastError('HF_TIMEOUT', 'duplicate address detection does not end', {
        hint: 'Has the link a carrier, and does its port of the bridge forward?',
      })
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A result's addresses for one of its interfaces. */
export function addressesOf({ ips }: Result, index: number | undefined): InsideAddress[] {
  return ips
    .filter((each) => each.interface === undefined || index === undefined || each.interface === index)
    .map(({ address, gateway }) => ({
      address: parseInterfaceAddress(address, 'address'),
      gateway: gateway === undefined ? undefined : parseAddress(gateway, 'gateway'),
    }))
}

/** A route without a gateway goes by the first gateway of its family, as in the reference plugins. */
export function routeWishes(routes: Route[], addresses: InsideAddress[]): NewRouteWish[] {
  return routes.map(({ dst, gw, ...metrics }) => {
    const written = parseInterfaceAddress(dst, 'dst')
    const destination = networkOf(written, written.length)
    const gateway = gw === undefined ? gatewayFor(written.family, addresses) : parseAddress(gw, 'gw')
    const onLink = metrics.scope !== undefined && metrics.scope >= 253 && gw === undefined
    return { destination, gateway: onLink ? undefined : gateway, ...metrics }
  })
}

function gatewayFor(family: 4 | 6, addresses: InsideAddress[]): Address | undefined {
  return addresses.find(({ gateway }) => gateway?.family === family)?.gateway
}
