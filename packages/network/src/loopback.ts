import { NetlinkSocket, NETLINK_ROUTE } from './netlink/netlink.ts'
import { setLink } from './netlink/rtnetlink.ts'

/** Switches `lo` on in a network namespace (a descriptor, which stays the caller's): a new one has it off. */
export async function raiseLoopback(netns: number): Promise<void> {
  const socket = NetlinkSocket.open(NETLINK_ROUTE, netns)
  try {
    await socket.request([setLink({ link: 'lo', up: true })])
  } finally {
    socket.close()
  }
}
