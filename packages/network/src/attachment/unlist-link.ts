/**
 * Deletes a link of the host's, and goes on as soon as it is off the kernel's list: its name, its peer, its addresses and
 * its place in a bridge are free then. The kernel answers the request 10 to 20 ms later, when nobody looks at the freed
 * memory any more (an RCU barrier, after it has let go of its lock): that wait is nobody's.
 */
import { MulticastGroups, MessageType, parseLink as parseLinkHeader } from 'netlink/dist/rt/gen_structs.js'
import { NETLINK_ROUTE } from '../netlink/netlink.ts'
import { listenNetlink } from '../netlink/netlink-listener.ts'
import { AF_UNSPEC } from '../netlink/protocol-numbers.ts'
import { deleteLink, linkHeaderBytes, type Link } from '../netlink/rtnetlink.ts'
import type { Host } from './host.ts'
import { openNetlink, waitsOnThisThread } from './waiting.ts'

export async function unlistLink(host: Host, { name, index }: Pick<Link, 'name' | 'index'>): Promise<void> {
  if (waitsOnThisThread()) {
    await host.route.request([deleteLink(name)])
    return
  }
  await new Promise<void>((resolve, reject) => {
    const listener = listenNetlink({
      protocol: NETLINK_ROUTE,
      groups: [MulticastGroups.LINK],
      netns: host.netns,
      message({ type, data }) {
        if (type !== MessageType.DELLINK) return
        const header = parseLinkHeader(data.subarray(0, linkHeaderBytes))
        // A bridge tells of a port that leaves it by a message of its own family.
        if (header.index === index && header.family === AF_UNSPEC) end(resolve)
      },
      overrun: () => undefined, // the answer comes anyway
    })
    const end = (how: () => void) => {
      listener.close()
      how()
    }
    // One of its own: the next request need not wait for the answer.
    const socket = openNetlink(NETLINK_ROUTE, host.netns)
    socket
      .request([deleteLink(name)])
      .finally(() => socket.close())
      .then(
        () => end(resolve),
        (error: unknown) => end(() => reject(error as Error)),
      )
  })
}
