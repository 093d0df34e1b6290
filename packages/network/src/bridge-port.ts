/** A port of a bridge that comes up. */
import { HoldfastError } from '@holdfast/errors'
import { findLink } from './netlink/find-link.ts'
import type { NetlinkSocket } from './netlink/netlink.ts'

/**
 * The bridge learns from a work queue that its port has a carrier; until then it drops what the container
 * sends, and a lost first packet costs a second. Being asked for the link makes the kernel run that queue
 * (Linux 6.8). A bridge of somebody else's may run spanning tree, which takes its time. Asked more and more
 * seldom: each question takes the lock that the answer waits for. False where it does not forward within that time.
 */
export async function portForwards(
  route: NetlinkSocket,
  link: string,
  milliseconds: number,
): Promise<boolean> {
  const deadline = performance.now() + milliseconds
  for (let pause = 1; performance.now() < deadline; pause = Math.min(pause * 2, 50)) {
    if ((await findLink(route, link))?.port?.forwarding) return true
    await new Promise((resolve) => setTimeout(resolve, pause))
  }
  return false
}

export function portStaysDown(link: string, bridge: string): HoldfastError {
  return new HoldfastError('HF_NETWORK_FAILED', `the port ${link} of bridge ${bridge} does not come up`, {
    hint: 'Is the bridge up, and is spanning tree off (ip -d link show)?',
  })
}
