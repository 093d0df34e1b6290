/** Connections that were let through by a policy that has changed since: tracking forgets those it refuses now. */
import { addressBytes, contains, type Address } from '../address.ts'
import { deleteConntrack, dumpFlowsFrom, originOf } from '../netlink/conntrack.ts'
import type { RulesContext } from '../open-network/context.ts'
import type { Packet } from './egress-rule.ts'

/** `refuses`: judges the first packet of a connection. Its next one is then judged as if it were the first. */
export async function cutFlows(
  { netfilter, plan }: RulesContext,
  sources: Address[],
  refuses: (packet: Packet) => boolean,
): Promise<void> {
  for (const source of sources) {
    const flows = await netfilter.dump(dumpFlowsFrom(addressBytes(source)))
    const cut = flows.filter((flow) => {
      const packet = originOf(flow)
      return packet !== undefined && !isNeighbour(packet.destination) && refuses(packet)
    })
    // A few at a time: their answers must fit into the socket's buffer.
    for (let at = 0; at < cut.length; at += 64) {
      await netfilter.request(cut.slice(at, at + 64).map(deleteConntrack))
    }
  }

  /** What stays in the network is no egress; its gateway is the host. */
  function isNeighbour(address: Address): boolean {
    return plan.ranges.some(
      ({ subnet, gateway }) => contains(subnet, address) && address.value !== gateway.value,
    )
  }
}
