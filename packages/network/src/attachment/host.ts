/** The host's side of what the stateless verbs do: its sockets, opened when they are first needed. */
import { findLink } from '../netlink/find-link.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE, type NetlinkSocket } from '../netlink/netlink.ts'
import { inNetns, readSysctl, writeSysctl } from '../netns.ts'
import type { Link } from '../netlink/rtnetlink.ts'
import { openNetlink } from './waiting.ts'

/** The nftables table of every network that these verbs set up. */
export const table = 'hf-cni'

export class Host implements Disposable {
  readonly netns: number | undefined
  #route: NetlinkSocket | undefined
  #netfilter: NetlinkSocket | undefined
  #hasIpv6: boolean | undefined

  constructor(netns: number | undefined) {
    this.netns = netns
  }

  get route(): NetlinkSocket {
    this.#route ??= openNetlink(NETLINK_ROUTE, this.netns)
    return this.#route
  }

  get netfilter(): NetlinkSocket {
    this.#netfilter ??= openNetlink(NETLINK_NETFILTER, this.netns)
    return this.#netfilter
  }

  /** Whether this kernel has IPv6 at all. */
  get hasIpv6(): boolean {
    this.#hasIpv6 ??= readSysctl('ipv6/conf/default/accept_ra') !== undefined
    return this.#hasIpv6
  }

  link(name: string): Promise<Link | undefined> {
    return findLink(this.route, name)
  }

  /** Keys below /proc/sys/net, by value. */
  sysctl(values: Record<string, string>): void {
    inNetns(this.netns, () => {
      for (const [key, value] of Object.entries(values)) writeSysctl(key, value, true)
    })
  }

  [Symbol.dispose](): void {
    this.#route?.close()
    this.#netfilter?.close()
  }
}
