/** The interface inside the container: its settings, addresses and routes, and its announcement. */
import { HoldfastError } from '@holdfast/errors'
import {
  formatAddress,
  networkOf,
  parseAddress,
  parseInterfaceAddress,
  type Address,
  type Prefix,
} from '../address.ts'
import { NETLINK_ROUTE, type NetlinkSocket } from '../netlink.ts'
import { inNetns, writeSysctl } from '../netns.ts'
import { addRoute, type NewRoute } from '../route-requests.ts'
import {
  addAddress,
  addNeighbour,
  dumpAddresses,
  getLink,
  IFA_F_DADFAILED,
  IFA_F_TENTATIVE,
  IN6_ADDR_GEN_MODE_NONE,
  IPV4_DEVCONF_ARP_NOTIFY,
  parseAddressReply,
  parseLink,
  setLink,
  type Link,
} from '../rtnetlink.ts'
import type { Host } from './host.ts'
import type { Result, Route } from './network-config.ts'
import { openNetlink } from './waiting.ts'

const loopbackIndex = 1
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
    if (host.hasIpv6) {
      inNetns(netns, () => {
        const conf = `ipv6/conf/${name}`
        // Neighbours could else reroute the container with a forged advertisement.
        writeSysctl(`${conf}/accept_ra`, '0', true)
        if (!addresses.some(({ address }) => address.family === 6)) return
        writeSysctl(`${conf}/disable_ipv6`, '0', true)
        writeSysctl(`${conf}/accept_dad`, dad ? '1' : '0', true)
        writeSysctl(`${conf}/ndisc_notify`, '1', true)
      })
    }
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}

export async function linkInside(socket: NetlinkSocket, name: string): Promise<Link | undefined> {
  const [replies] = await socket.request([getLink(name, ['ENODEV'])])
  return replies?.[0] && parseLink(replies[0])
}

/** Up, with addresses and routes. */
export async function configureInside(
  host: Host,
  socket: NetlinkSocket,
  { index, options }: { index: number; options: InsideOptions },
): Promise<void> {
  const { addresses, routes, dad, noPrefixRoute } = options
  const unusedIpv6 =
    host.hasIpv6 && addresses.length > 0 && !addresses.some(({ address }) => address.family === 6)
  await socket.request([
    setLink({
      link: index,
      ipv4: { [IPV4_DEVCONF_ARP_NOTIFY]: 1 },
      ...(unusedIpv6 && { addrGenMode: IN6_ADDR_GEN_MODE_NONE }),
    }),
    ...addresses.map(({ address }) => addAddress(index, address, { dad, noPrefixRoute })),
    setLink({ link: loopbackIndex, up: true }),
    setLink({ link: index, up: true }),
    ...routes.map((route) => addRoute({ ...route, index })),
  ])
}

/**
 * Being given its own MAC address once more makes the interface announce its addresses (gratuitous ARP,
 * unsolicited neighbour advertisement), so that nobody goes on sending to whoever had them before. It forgets
 * its neighbours by that, so the gateway is told to it afterwards.
 */
export async function announce(
  socket: NetlinkSocket,
  { index, mac, options }: { index: number; mac: Buffer; options: InsideOptions },
): Promise<void> {
  const { addresses, gatewayMac } = options
  await socket.request([
    setLink({ link: index, mac }),
    ...addresses.flatMap(({ gateway }) =>
      gateway && gatewayMac ? [addNeighbour(index, gateway, gatewayMac)] : [],
    ),
  ])
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
