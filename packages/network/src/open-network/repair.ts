/**
 * What a network should be like, against what is there. Somebody deletes a bridge, flushes the host's rules,
 * takes a link down: what is missing is put back, and nothing of anybody else's is touched.
 */
import { formatAddress, formatPrefix } from '../address.ts'
import { attachmentKey, type NetworkContext, type Publication, type RulesContext } from './context.ts'
import { findLink } from '../netlink/find-link.ts'
import { ensureBridge, ensureRules } from '../host-bridge.ts'
import { inNetns, readSysctl } from '../netns.ts'
import type { Damage } from './network-event.ts'
import { describeElement, elementKey, elementsOf, presentElements } from '../ports/port-elements.ts'
import { addMissing } from '../ports/publish.ts'
import { enslave } from './restore.ts'
import { missingRules } from '../rules-check.ts'
import { addLinkRoute, dumpRoutes, parseRoute } from '../netlink/route-requests.ts'
import { dumpAddresses, parseAddressReply } from '../netlink/address-requests.ts'
import { dumpLinks, parseLink } from '../netlink/rtnetlink.ts'

export type RepairContext = RulesContext & Pick<NetworkContext, 'bridge'>

/** Something that was amiss, and whether it is in order again. */
export type Repair = Damage & { repaired: boolean; error?: unknown }

/**
 * Everything that is amiss; `fix` also puts it right. The order matters: rules come after the bridge, and what
 * refuses before what lets through.
 */
export async function repair(context: RepairContext, { fix }: { fix: boolean }): Promise<Repair[]> {
  const found: Repair[] = []
  for (const step of [bridgeStep, routeStep, policyStep, linkStep, forwardingStep, rulesStep, portStep]) {
    const { damage, mend } = await step(context)
    found.push(...(await mended(damage, fix ? mend : undefined)))
  }
  return found
}

interface Step {
  damage: Damage[]
  mend?: () => Promise<unknown> | undefined
}

async function mended(damage: Damage[], mend: Step['mend']): Promise<Repair[]> {
  // A link that is gone is beyond repair, whatever is done about the others.
  const reparable = ({ type }: Damage) => type !== 'link-lost' && type !== 'forwarding-off'
  let repaired = false
  let error: unknown
  if (mend && damage.some(reparable)) {
    try {
      await mend()
      repaired = true
    } catch (caught) {
      error = caught
    }
  }
  return damage.map((each) => ({
    ...each,
    repaired: repaired && reparable(each),
    ...(error !== undefined && reparable(each) && { error }),
  }))
}

async function bridgeStep(context: RepairContext): Promise<Step> {
  const { options, plan, route } = context
  const mend = async () => {
    context.bridge = await ensureBridge(context)
  }
  const link = await findLink(route, options.bridge)
  if (!link) return { damage: [{ type: 'bridge-lost', bridge: options.bridge }], mend }
  const damage: Damage[] = link.up ? [] : [{ type: 'bridge-down', bridge: options.bridge }]
  const present = (await route.dump(dumpAddresses()))
    .map(parseAddressReply)
    .flatMap((each) => (each?.index === link.index ? [formatAddress(each.address)] : []))
  for (const { gateway, subnet } of plan.ranges) {
    const address = formatAddress(gateway)
    if (!present.includes(address))
      damage.push({ type: 'address-lost', address: `${address}/${subnet.length}` })
  }
  // Made anew by somebody else under our name: `mend` refuses it where it isn't ours.
  if (damage.length === 0 && link.index !== context.bridge.index)
    return { damage: [{ type: 'bridge-lost', bridge: options.bridge }], mend }
  return { damage, mend }
}

async function routeStep({ route, plan, bridge }: RepairContext): Promise<Step> {
  const routes = (await route.dump(dumpRoutes())).map(parseRoute)
  const missing = plan.ranges.filter(
    ({ subnet }) =>
      !routes.some(
        (each) =>
          each?.outputIndex === bridge.index && formatPrefix(each.destination) === formatPrefix(subnet),
      ),
  )
  return {
    damage: missing.map(({ subnet }) => ({ type: 'route-lost', destination: formatPrefix(subnet) })),
    mend: () =>
      route.request(missing.map(({ subnet, gateway }) => addLinkRoute(bridge.index, subnet, gateway))),
  }
}

async function linkStep(context: RepairContext): Promise<Step> {
  const attached = [...context.published.values()].filter(({ link, lost }) => link !== undefined && !lost)
  if (attached.length === 0) return { damage: [] }
  const links = new Map(
    (await context.route.dump(dumpLinks())).map(parseLink).map((each) => [each.name, each]),
  )
  const damage: Damage[] = []
  const crooked: Publication[] = []
  for (const publication of attached) {
    // It was detached while we looked.
    if (context.published.get(attachmentKey(publication)) !== publication) continue
    const link = links.get(publication.link!)
    const named = { id: publication.id, interface: publication.interface, link: publication.link! }
    if (!link) {
      damage.push({ type: 'link-lost', ...named })
      publication.lost = true
      continue
    }
    if (link.master !== context.bridge.index) damage.push({ type: 'link-off-bridge', ...named })
    else if (!link.up) damage.push({ type: 'link-down', ...named })
    else continue
    crooked.push(publication)
  }
  return {
    damage,
    async mend() {
      for (const publication of crooked) {
        if (context.published.get(attachmentKey(publication)) !== publication) continue
        await enslave(context, links.get(publication.link!)!, publication.ports.size > 0)
      }
    },
  }
}

/** Whoever switched it off may want it off: an open network does not fight the host over it. */
function forwardingStep({ options, plan }: RepairContext): Step {
  if (plan.internal) return { damage: [] }
  const keys = { 4: 'ipv4/ip_forward', 6: 'ipv6/conf/all/forwarding' } as const
  const off = plan.families.filter(
    (family) => inNetns(options.hostNetns, () => readSysctl(keys[family])) === '0',
  )
  return {
    damage: off.map((family) => ({
      type: 'forwarding-off',
      family,
      fix: `sysctl -w net.${keys[family].replaceAll('/', '.')}=1`,
    })),
  }
}

async function policyStep({ egress }: RepairContext): Promise<Step> {
  const missing = (await egress?.missing(false)) ?? []
  return {
    damage: missing.length > 0 ? [{ type: 'policy-lost', missing }] : [],
    mend: () => egress?.missing(true),
  }
}

async function rulesStep(context: RepairContext): Promise<Step> {
  const missing = await missingRules(context)
  return {
    damage: missing.length > 0 ? [{ type: 'rules-lost', missing }] : [],
    mend: () => ensureRules(context.options, context.plan),
  }
}

async function portStep(context: RepairContext): Promise<Step> {
  const present = await presentElements(context)
  // What is published is looked at after the dump: who withdraws a port says so before he deletes its element.
  const missing = [...context.published.values()]
    .flatMap(({ addresses, ports }) => elementsOf(context, addresses, [...ports.values()]))
    .filter((request) => !present.has(elementKey(request)))
  return {
    damage: missing.length > 0 ? [{ type: 'ports-lost', ports: missing.map(describeElement) }] : [],
    mend: () => addMissing(context, missing),
  }
}
