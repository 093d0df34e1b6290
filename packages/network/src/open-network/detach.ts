/** A container leaves. Every step is tried, whatever became of the ones before; the first error is thrown. */
import type { Attachment, DetachOptions, PublishedPort } from '../bridge.ts'
import { attachmentKey, portMap, type NetworkContext } from './context.ts'
import { withdrawPorts } from '../ports/publish.ts'
import { releasePorts } from '../ports/hold-ports.ts'
import { buryLink, buryLinkLater, silenceLink } from './removal.ts'
import { Steps } from '../steps.ts'

export async function detach(
  context: NetworkContext,
  attachment: Attachment,
  options: DetachOptions,
): Promise<void> {
  const done = leave(context, attachment, options)
  const settled = done.catch(() => undefined)
  context.detaching.add(settled)
  try {
    await done
  } finally {
    context.detaching.delete(settled)
  }
}

async function leave(context: NetworkContext, attachment: Attachment, options: DetachOptions): Promise<void> {
  const { id, hostInterface: link, ports } = attachment
  const addresses = attachment.addresses.map(({ address }) => address)
  // What was published and withdrawn since counts too.
  const known = context.published.get(attachmentKey(attachment))?.ports ?? new Map<string, PublishedPort>()
  context.published.delete(attachmentKey(attachment))
  const all = [...new Map([...portMap(ports), ...known]).values()]
  const steps = new Steps()
  const { attempt } = steps
  await attempt(() => withdrawPorts(context, addresses, all))
  await attempt(() => releasePorts(context, all))
  await attempt(() => context.ipam.leave({ id, interface: attachment.interface, link }))
  await attempt(() => silenceLink(context, link))
  await attempt(() => context.egress.removeLink(link)) // only now, when it can send nothing more
  if (options.wait) await attempt(() => buryLink(context, link))
  else buryLinkLater(context, link)
  steps.end(`detaching ${id} failed`)
}
