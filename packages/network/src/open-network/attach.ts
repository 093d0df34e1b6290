/** A container joins: an address, a pair of links with one end inside, its ports. Both or none. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatAddress, macBytes, macOf, type Address } from '../address.ts'
import type { AttachRequest, Attachment, PublishedPort } from '../bridge.ts'
import { attachmentKey, portMap, type NetworkContext } from './context.ts'
import { holdPorts, releasePorts } from '../ports/hold-ports.ts'
import { randomLinkName } from '../host-bridge.ts'
import type { LeaseOwner } from '../ipam.ts'
import { connect } from './pair.ts'
import { translatePorts } from '../ports/publish.ts'
import { buryLink } from './removal.ts'
import { macText } from '../netlink/rtnetlink.ts'
import { validateAttach } from '../validate.ts'

export async function attach(context: NetworkContext, request: AttachRequest): Promise<Attachment> {
  const { wishes, mac: wishedMac, ports: mappings } = validateAttach(context.plan, request)
  const key = attachmentKey(request)
  if (context.published.has(key)) {
    throw new HoldfastError(
      'HF_NETWORK_FAILED',
      `${request.id} is attached to network ${context.options.name} already`,
    )
  }
  const { id, interface: name } = request
  context.published.set(key, { id, interface: name, link: undefined, addresses: [], ports: new Map() })
  const owner: LeaseOwner = { id, interface: name, link: randomLinkName() }
  let addresses: Address[] = []
  let ports: PublishedPort[] = []
  try {
    addresses = await leaseAddresses(context, owner, wishes)
    const texts = addresses.map(formatAddress)
    ports = await holdPorts(context, request.id, mappings)
    await context.egress.set(request, request.egress, { link: owner.link, addresses: texts })
    const mac = wishedMac ?? macBytes(macOf(addresses[0]!), 'mac')
    await connect(context, request, { link: owner.link, mac, addresses, hairpin: ports.length > 0 })
    await translatePorts(context, texts, ports)
    context.published.set(key, {
      id,
      interface: name,
      link: owner.link,
      addresses: texts,
      ports: portMap(ports),
    })
    return {
      id,
      interface: name,
      hostInterface: owner.link,
      mac: macText(mac),
      addresses: context.plan.ranges.map(({ subnet, gateway }, index) => ({
        address: texts[index]!,
        prefixLength: subnet.length,
        gateway: formatAddress(gateway),
      })),
      ports,
      ...(request.egress && { egress: request.egress }),
    }
  } catch (error) {
    context.published.delete(key)
    releasePorts(context, ports)
    if (addresses.length > 0) {
      context.ipam.leave(owner)
      await buryLink(context, owner.link)
    }
    throw error
  }
}

/**
 * An address is free once its last owner has left and his link is gone: where none is free, and only then, that is
 * waited for.
 */
async function leaseAddresses(
  context: NetworkContext,
  owner: LeaseOwner,
  wishes: Address[],
): Promise<Address[]> {
  const { ranges } = context.plan
  try {
    return context.ipam.lease(ranges, owner, wishes)
  } catch (error) {
    if (!hasCode(error, 'HF_NETWORK_FAILED', 'HF_ADDRESS_POOL_EXHAUSTED')) throw error
    const detaching = [...context.detaching]
    await Promise.all(detaching)
    const leaving = context.ipam.leases().filter(({ state }) => state === 'leaving')
    if (detaching.length === 0 && leaving.length === 0) throw error
    for (const link of new Set(leaving.map((lease) => lease.link))) await buryLink(context, link)
    return context.ipam.lease(ranges, owner, wishes)
  }
}
