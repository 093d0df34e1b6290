/** Bandwidth: a token bucket on what the host sends to the container, and one on what comes from it, by way of an ifb. */
import { newLink } from '../netlink/link-requests.ts'
import { getLink, parseLink, setLink } from '../netlink/rtnetlink.ts'
import { redirectIngress, tokenBucket, type TokenBucket } from '../netlink/traffic-control.ts'
import type { Host } from './host.ts'
import type { Bandwidth } from './network-config.ts'

export interface ShapingNeeds {
  bandwidth: Bandwidth
  hostIndex: number
  mtu: number
  shaper: string
  alias: string
}

export async function shape(
  host: Host,
  { bandwidth, hostIndex, mtu, shaper, alias }: ShapingNeeds,
): Promise<void> {
  const ingress = bucketOf(bandwidth.ingressRate, bandwidth.ingressBurst)
  const egress = bucketOf(bandwidth.egressRate, bandwidth.egressBurst)
  if (ingress) await host.route.request([tokenBucket(hostIndex, ingress)])
  if (!egress) return
  const replies = await host.route.request([
    newLink({ kind: 'ifb', name: shaper, mtu }),
    setLink({ link: shaper, alias }),
    setLink({ link: shaper, up: true }),
    getLink(shaper),
  ])
  const { index } = parseLink(replies.at(-1)![0]!)
  await host.route.request([tokenBucket(index, egress), ...redirectIngress(hostIndex, index)])
}

/** CNI counts bits. Without a burst: what a tenth of a second brings, and a jumbo frame at least. */
export function bucketOf(rate: number | undefined, burst: number | undefined): TokenBucket | undefined {
  if (!rate) return undefined
  const bytes = Math.max(Math.floor(rate / 8), 1)
  return {
    rate: bytes,
    burst: Math.min(burst ? Math.floor(burst / 8) : Math.max(Math.floor(bytes / 10), 10_000), 0xffff_ffff),
  }
}
