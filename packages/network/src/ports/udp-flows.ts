/** Connection tracking of udp ports that are published or withdrawn. */
import { addressBytes, parseAddress } from '../address.ts'
import type { PublishedPort } from '../bridge.ts'
import type { RulesContext } from '../open-network/context.ts'
import { deleteConntrack, dumpConntrack, type ConntrackFilter } from '../netlink/conntrack.ts'
import { isTranslated } from './port-elements.ts'
import { protocolNumbers } from '../netlink/protocol-numbers.ts'
import { dumpAddresses, parseAddressReply } from '../netlink/address-requests.ts'

type FlowContext = Pick<RulesContext, 'netfilter' | 'route'>

/**
 * udp has no end of a connection: a flow keeps the way that its first packet went. One that was there before
 * the port was published must learn of the container, one to a container that is gone must end.
 */
export async function forgetFlows(
  context: FlowContext,
  addresses: string[],
  ports: PublishedPort[],
  when: 'publish' | 'withdraw',
): Promise<void> {
  const udp = ports.filter((port) => port.protocol === 'udp' && isTranslated(port, addresses))
  if (udp.length === 0) return
  const containers = addresses.map((text) => addressBytes(parseAddress(text, 'address')))
  const local = when === 'publish' ? await localAddresses(context) : []
  for (const { hostIp, hostPort } of udp) {
    const host = addressBytes(parseAddress(hostIp, 'hostIp'))
    const sameFamily = (address: Buffer) => address.length === host.length
    if (when === 'withdraw') {
      for (const answers of containers.filter(sameFamily))
        await forget(context, { destinationPort: hostPort, answers })
      continue
    }
    const destinations = host.every((byte) => byte === 0) ? local.filter(sameFamily) : [host]
    for (const destination of destinations) await forget(context, { destinationPort: hostPort, destination })
  }
}

async function forget({ netfilter }: FlowContext, filter: Omit<ConntrackFilter, 'protocol'>): Promise<void> {
  const entries = await netfilter.dump(dumpConntrack({ protocol: protocolNumbers.udp, ...filter }))
  // A few at a time: their answers must fit into the socket's buffer.
  for (let at = 0; at < entries.length; at += 64) {
    await netfilter.request(entries.slice(at, at + 64).map(deleteConntrack))
  }
}

async function localAddresses(context: FlowContext): Promise<Buffer[]> {
  const replies = await context.route.dump(dumpAddresses())
  return replies.map(parseAddressReply).flatMap((each) => (each ? [addressBytes(each.address)] : []))
}
