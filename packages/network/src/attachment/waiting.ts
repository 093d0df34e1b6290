/**
 * How the stateless verbs wait for the kernel and for each other's locks: beside the event loop, unless the process has
 * one thing to do. Then it sleeps in the kernel: no thread is started, and two hundred processes that look again and
 * again for a lock would keep the one from working that has it.
 */
import { NetlinkSocket } from '../netlink/netlink.ts'

let onThisThread = false

/** For the rest of this process's life. */
export function waitOnThisThread(): void {
  onThisThread = true
}

export function waitsOnThisThread(): boolean {
  return onThisThread
}

/** `netns`: a descriptor; absent: the process's own. */
export function openNetlink(protocol: number, netns?: number): NetlinkSocket {
  return onThisThread ? NetlinkSocket.openBlocking(protocol, netns) : NetlinkSocket.open(protocol, netns)
}
