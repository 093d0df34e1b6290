/** Ports of a container that is attached already: published and withdrawn while it runs. */
import type { Attachment, PortMapping, PublishedPort } from '../bridge.ts'
import { attachmentKey, portKey, publicationOf, type NetworkContext } from './context.ts'
import { holdPorts, releasePorts } from '../ports/hold-ports.ts'
import { translatePorts, withdrawPorts } from '../ports/publish.ts'
import { setLink } from '../netlink/rtnetlink.ts'
import { validatePorts } from '../validate.ts'

/** All or none. */
export async function publishPorts(
  context: NetworkContext,
  attachment: Attachment,
  mappings: PortMapping[],
): Promise<PublishedPort[]> {
  const publication = context.published.get(attachmentKey(attachment)) ?? publicationOf(attachment)
  const ports = await holdPorts(context, attachment.id, validatePorts(context.plan, mappings))
  try {
    await context.route.request([setLink({ link: attachment.hostInterface, hairpin: true })])
    await translatePorts(context, publication.addresses, ports)
  } catch (error) {
    releasePorts(context, ports)
    throw error
  }
  for (const port of ports) publication.ports.set(portKey(port), port)
  context.published.set(attachmentKey(attachment), publication)
  return ports
}

/** Idempotent. */
export async function unpublishPorts(
  context: NetworkContext,
  attachment: Attachment,
  ports: PublishedPort[],
): Promise<void> {
  // Before the elements go, or a repair would put them back.
  const publication = context.published.get(attachmentKey(attachment))
  for (const port of ports) publication?.ports.delete(portKey(port))
  const addresses = attachment.addresses.map(({ address }) => address)
  await withdrawPorts(context, addresses, ports)
  releasePorts(context, ports)
}
