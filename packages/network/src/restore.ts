/**
 * After a restart: what the caller says is living is taken up, the rest of this network is removed. Links are known
 * by their alias, elements by the address they lead to, leases by the owner; what carries none of these is not ours.
 */
import { parseAddress } from './address.ts'
import type { Attachment } from './bridge.ts'
import { attachmentKey, linkAliasPrefix, type NetworkContext } from './context.ts'
import { addElements, deleteElements } from './nfnetlink.ts'
import { elementKey, elementsOf, presentElements } from './publish.ts'
import { buryLink } from './removal.ts'
import { dumpLinks, parseLink, setLink } from './rtnetlink.ts'

/** What was removed or is amiss, one line each. */
export async function restore(context: NetworkContext, living: Attachment[]): Promise<string[]> {
  const report: string[] = []
  context.published.clear()
  for (const attachment of living) {
    context.published.set(attachmentKey(attachment), {
      addresses: attachment.addresses.map(({ address }) => address), ports: attachment.ports,
    })
  }
  await restoreLinks(context, living, report)
  await restoreLeases(context, living, report)
  holdAgain(context, living, report)
  await restoreElements(context, living, report)
  return report
}

async function restoreLinks(context: NetworkContext, living: Attachment[], report: string[]): Promise<void> {
  const links = (await context.route.dump(dumpLinks())).map(parseLink)
  const ours = links.filter(({ alias, kind }) => kind === 'veth' && alias?.startsWith(linkAliasPrefix(context.options.bridge)))
  const names = new Set(living.map(({ hostInterface }) => hostInterface))
  for (const link of ours) {
    if (!names.has(link.name)) {
      await context.removal.request([setLink({ link: link.name, up: false, tolerate: ['ENODEV'] })])
      await buryLink(context, link.name)
      report.push(`link ${link.name} of ${link.alias?.slice(linkAliasPrefix(context.options.bridge).length)}`)
    } else if (link.master !== context.bridge.index || !link.up) {
      // The bridge was deleted and made again.
      await context.route.request([setLink({ link: link.name, master: context.bridge.index, up: true })])
    }
  }
  for (const { id, hostInterface } of living) {
    if (!ours.some(({ name }) => name === hostInterface)) report.push(`missing: link ${hostInterface} of ${id}`)
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
      if (relay) continue
      const address = parseAddress(hostIp, 'hostIp')
      if (context.held.ownerOf(protocol, address, hostPort) === id) continue
      if (context.held.hold(protocol, address, hostPort, id)) continue
      // Translation goes on all the same; that other listener gets nothing from outside.
      report.push(`port ${hostIp}:${hostPort}/${protocol} of ${id} was bound by another process meanwhile`)
    }
  }
}

async function restoreElements(context: NetworkContext, living: Attachment[], report: string[]): Promise<void> {
  const present = await presentElements(context)
  const wanted = new Map(living
    .flatMap(({ addresses, ports }) => elementsOf(context, addresses.map(({ address }) => address), ports))
    .map((request) => [elementKey(request), request]))
  for (const [key, request] of present) {
    if (wanted.has(key)) continue
    await context.netfilter.request(deleteElements([request]))
    report.push(`published port ${key}`)
  }
  const missing = [...wanted].filter(([key]) => !present.has(key)).map(([, request]) => request)
  if (missing.length > 0) await context.netfilter.request(addElements(missing))
}
