/** The interface inside a container, whoever made it: settings, addresses, routes, and its announcement. */
import type { Address, Prefix } from './address.ts'
import type { NetlinkSocket, Request } from './netlink/netlink.ts'
import { inNetns, writeSysctl } from './netns.ts'
import { addAddress, addNeighbour, type AddressFlags } from './netlink/address-requests.ts'
import { IN6_ADDR_GEN_MODE_NONE, IPV4_DEVCONF_ARP_NOTIFY, setLink } from './netlink/rtnetlink.ts'

const loopbackIndex = 1

/**
 * What has no netlink message is written to /proc/sys before the interface is up. `ipv6`: it gets such addresses; with
 * `dad` the kernel looks whether somebody has them.
 */
export function prepareInterface(netns: number, name: string, { ipv6 = false, dad = false } = {}): void {
  inNetns(netns, () => {
    const conf = `ipv6/conf/${name}`
    // Neighbours could else reroute the container with a forged advertisement.
    writeSysctl(`${conf}/accept_ra`, '0', true)
    if (!ipv6) return
    writeSysctl(`${conf}/disable_ipv6`, '0', true)
    writeSysctl(`${conf}/accept_dad`, dad ? '1' : '0', true)
    writeSysctl(`${conf}/ndisc_notify`, '1', true)
  })
}

export interface InterfaceSettings extends AddressFlags {
  index: number
  addresses: Prefix[]
  routes: Request[]
  /** The kernel has IPv6, and the interface is to have no address of that, not even of its own making. */
  withoutIpv6: boolean
}

/** Up, with addresses and routes, and the loopback too. */
export async function configureInterface(socket: NetlinkSocket, settings: InterfaceSettings): Promise<void> {
  const { index, addresses, routes, withoutIpv6, ...flags } = settings
  await socket.request([
    setLink({
      link: index,
      ipv4: { [IPV4_DEVCONF_ARP_NOTIFY]: 1 },
      ...(withoutIpv6 && { addrGenMode: IN6_ADDR_GEN_MODE_NONE }),
    }),
    ...addresses.map((address) => addAddress(index, address, flags)),
    setLink({ link: loopbackIndex, up: true }),
    setLink({ link: index, up: true }),
    ...routes,
  ])
}

/**
 * Being given its own MAC address once more makes the interface announce its addresses (gratuitous ARP,
 * unsolicited neighbour advertisement), so that nobody goes on sending to whoever had them before. It forgets
 * its neighbours by that, so the gateways are told to it afterwards.
 */
export async function announceInterface(
  socket: NetlinkSocket,
  own: { index: number; mac: Buffer },
  gateways: { address: Address; mac: Buffer }[],
): Promise<void> {
  await socket.request([
    setLink({ link: own.index, mac: own.mac }),
    ...gateways.map(({ address, mac }) => addNeighbour(own.index, address, mac)),
  ])
}
