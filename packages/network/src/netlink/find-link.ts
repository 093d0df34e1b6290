import type { NetlinkSocket } from './netlink.ts'
import { getLink, parseLink, type Link } from './rtnetlink.ts'

/** The link of this name in the socket's network namespace; undefined where there is none. */
export async function findLink(socket: NetlinkSocket, name: string): Promise<Link | undefined> {
  const [replies] = await socket.request([getLink(name, ['ENODEV'])])
  return replies?.[0] && parseLink(replies[0])
}
