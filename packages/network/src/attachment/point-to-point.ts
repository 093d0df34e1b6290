/**
 * A pair of links without a bridge. The host's end has the gateway's addresses and a route to each of the
 * container's; the container reaches everything, its own network included, by the gateway.
 */
import { familyBits, macBytes, networkOf, type Prefix } from '../address.ts'
import { enableForwarding } from '../forwarding.ts'
import { inNetns } from '../netns.ts'
import { addRoute } from '../netlink/route-requests.ts'
import { addAddress } from '../netlink/address-requests.ts'
import {
  getLink,
  IPV4_DEVCONF_ROUTE_LOCALNET,
  newVeth,
  parseLink,
  setLink,
  type Link,
} from '../netlink/rtnetlink.ts'
import type { Host } from './host.ts'
import type { InsideAddress, NewRouteWish } from './inside.ts'

export interface PointToPointNeeds {
  name: string
  alias: string
  mtu: number | undefined
  inside: { name: string; mac: string; netns: number }
  addresses: InsideAddress[]
  publishes: boolean
}

export async function makePointToPoint(
  host: Host,
  needs: PointToPointNeeds,
): Promise<{ hostLink: Link; peerIndex: number }> {
  const { name, alias, mtu, inside, addresses, publishes } = needs
  const replies = await host.route.request([
    newVeth({ name, mtu, peer: { ...inside, mac: macBytes(inside.mac, 'mac') } }),
    setLink({
      link: name,
      alias,
      ...(publishes && { ipv4: { [IPV4_DEVCONF_ROUTE_LOCALNET]: 1 } }),
    }),
    getLink(name),
  ])
  const hostLink = parseLink(replies.at(-1)![0]!)
  if (host.hasIpv6) {
    // It keeps its link-local address: the kernel asks for the container with it, when it forwards.
    host.sysctl({ [`ipv6/conf/${name}/accept_ra`]: '0', [`ipv6/conf/${name}/accept_dad`]: '0' })
  }
  const { index } = hostLink
  await host.route.request([
    ...addresses.flatMap(({ gateway }) => (gateway ? [addAddress(index, whole(gateway))] : [])),
    setLink({ link: index, up: true }),
    ...addresses.map(({ address }) => addRoute({ index, destination: whole(address) })),
  ])
  const families = [...new Set(addresses.map(({ address }) => address.family))]
  inNetns(host.netns, () => enableForwarding(families, name))
  return { hostLink, peerIndex: hostLink.peerIndex! }
}

/** The way to the gateway, and by it to the rest of the network. They come before all other routes. */
export function pointToPointRoutes(addresses: InsideAddress[]): NewRouteWish[] {
  return addresses.flatMap(({ address, gateway }) =>
    gateway
      ? [{ destination: whole(gateway) }, { destination: networkOf(address, address.length), gateway }]
      : [],
  )
}

function whole({ family, value }: Pick<Prefix, 'family' | 'value'>): Prefix {
  return { family, value, length: familyBits[family] }
}
