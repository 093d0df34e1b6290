/**
 * After a restart: what the caller says is living is taken up, the rest of this network is removed. Links are
 * known by their alias, elements by the address they lead to, leases by the owner; what carries none of these
 * is not ours.
 */
import { parseAddress } from '../address.ts'
import type { Attachment } from '../bridge.ts'
import { attachmentKey, linkAliasPrefix, publicationOf, type NetworkContext } from './context.ts'
import { deleteElements } from '../netlink/nfnetlink.ts'
import { describeElement, elementKey, elementsOf, presentElements } from '../ports/port-elements.ts'
import { addMissing } from '../ports/publish.ts'
import { buryLink } from './removal.ts'
import { dumpLinks, parseLink, setLink, type Link } from '../netlink/rtnetlink.ts'

/** What was removed or is amiss, one line each. */
export async function restore(context: NetworkContext, living: Attachment[]): Promise<string[]> {
  const report: string[] = []
  context.published.clear()
  for (const attachment of living) {
    context.published.set(attachmentKey(attachment), publicationOf(attachment))
  }
  await restoreLinks(context, living, report)
  await restoreLeases(context, living, report)
  holdAgain(context, living, report)
  await restoreElements(context, living, report)
  report.push(...(await restorePolicies(context, living)))
  return report
}

/** The bridge was deleted and made again: every link of a living attachment becomes its port. */
export async function enslaveAll(context: NetworkContext): Promise<void> {
  for (const link of await ourLinks(context)) {
    const [id, name] = link.alias!.slice(linkAliasPrefix(context.options.bridge).length).split(' ')
    const publication = context.published.get(attachmentKey({ id: id ?? '', interface: name ?? '' }))
    if (publication) await enslave(context, link, publication.ports.size > 0)
  }
}

/** `hairpin`: it has published ports, which it may reach itself by the host's address. */
export async function enslave(
  { route, bridge }: Pick<NetworkContext, 'route' | 'bridge'>,
  link: Link,
  hairpin: boolean,
): Promise<void> {
  if (link.master === bridge.index && link.up) return
  await route.request([
    setLink({ link: link.name, master: bridge.index, up: true }),
    setLink({ link: link.name, hairpin }),
  ])
}

async function ourLinks({ route, options }: NetworkContext): Promise<Link[]> {
  const links = (await route.dump(dumpLinks())).map(parseLink)
  return links.filter(
    ({ alias, kind }) => kind === 'veth' && alias?.startsWith(linkAliasPrefix(options.bridge)),
  )
}

async function restoreLinks(context: NetworkContext, living: Attachment[], report: string[]): Promise<void> {
  const ours = await ourLinks(context)
  const attachments = new Map(living.map((attachment) => [attachment.hostInterface, attachment]))
  for (const link of ours) {
    const attachment = attachments.get(link.name)
    if (!attachment) {
      await context.removal.request([setLink({ link: link.name, up: false, tolerate: ['ENODEV'] })])
      await buryLink(context, link.name)
      report.push(`link ${link.name} of ${link.alias?.slice(linkAliasPrefix(context.options.bridge).length)}`)
    } else {
      await enslave(context, link, attachment.ports.length > 0)
    }
  }
  for (const { id, hostInterface } of living) {
    if (!ours.some(({ name }) => name === hostInterface))
      report.push(`missing: link ${hostInterface} of ${id}`)
  }
}

async function restoreLeases(context: NetworkContext, living: Attachment[], report: string[]): Promise<void> {
  const links = new Set(living.map(({ hostInterface }) => hostInterface))
  for (const lease of context.ipam.leases()) {
    if (links.has(lease.link)) continue
    context.ipam.leave(lease)
    context.ipam.free(lease.link, context.plan.ranges)
    if (lease.state === 'held') report.push(`lease of ${lease.address} to ${lease.id}`)
  }
  for (const { id, interface: name, hostInterface, addresses } of living) {
    const parsed = addresses.map(({ address }) => parseAddress(address, 'addresses'))
    context.ipam.adopt(parsed, { id, interface: name, link: hostInterface })
  }
}

function holdAgain(context: NetworkContext, living: Attachment[], report: string[]): void {
  for (const { id, ports } of living) {
    for (const { protocol, hostIp, hostPort, relay } of ports) {
      if (relay) {
        context.held.keep({ protocol, hostIp, hostPort }, id)
        continue
      }
      const address = parseAddress(hostIp, 'hostIp')
      if (context.held.ownerOf(protocol, address, hostPort) === id) continue
      const place = { protocol, address, port: hostPort }
      if (context.held.hold({ ...place, reuse: false }, id)) continue
      if (context.held.hold({ ...place, reuse: true }, id)) continue // only past connections were in the way
      // Translation goes on all the same; that other listener gets nothing from outside.
      report.push(`port ${hostIp}:${hostPort}/${protocol} of ${id} was bound by another process meanwhile`)
    }
  }
}

async function restorePolicies(context: NetworkContext, living: Attachment[]): Promise<string[]> {
  const { egress } = context.options
  return await context.egress.restore([
    ...(egress ? [{ scope: 'network' as const, egress }] : []),
    ...living.flatMap((each) => (each.egress ? [{ scope: each, egress: each.egress }] : [])),
  ])
}

async function restoreElements(
  context: NetworkContext,
  living: Attachment[],
  report: string[],
): Promise<void> {
  const present = await presentElements(context)
  const wanted = new Map(
    living
      .flatMap(({ addresses, ports }) =>
        elementsOf(
          context,
          addresses.map(({ address }) => address),
          ports,
        ),
      )
      .map((request) => [elementKey(request), request]),
  )
  for (const [key, request] of present) {
    if (wanted.has(key)) continue
    await context.netfilter.request(deleteElements([request]))
    report.push(`published port ${describeElement(request)}`)
  }
  await addMissing(
    context,
    [...wanted].filter(([key]) => !present.has(key)).map(([, request]) => request),
  )
}
