/** The bridge itself: made or taken up, with its addresses, settings and rules. */
import { randomBytes } from 'node:crypto'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { formatPrefix, macBytes, macOf, parsePrefix, type Prefix, networkOf, overlaps } from './address.ts'
import type { RulesOptions } from './bridge.ts'
import { bridgeAlias } from './open-network/context.ts'
import { findLink } from './netlink/find-link.ts'
import { enableForwarding } from './forwarding.ts'
import { inNetns, writeSysctl } from './netns.ts'
import type { NetlinkSocket } from './netlink/netlink.ts'
import { nftApply, nftList } from './nft.ts'
import { removePolicyText } from './policy/policy-ruleset.ts'
import { installText, removeText, sourcesOf, type NetworkRules } from './ruleset.ts'
import {
  addAddress,
  deleteAddress,
  dumpAddresses,
  parseAddressReply,
  type LinkAddress,
} from './netlink/address-requests.ts'
import {
  deleteLink,
  IPV4_DEVCONF_ROUTE_LOCALNET,
  newBridge,
  parseLink,
  setLink,
  type Link,
  dumpLinks,
} from './netlink/rtnetlink.ts'
import type { NetworkPlan } from './validate.ts'

/** fe80::/10, which the kernel assigns by itself. */
const linkLocal = 0xfe80n >> 6n

export interface BridgeSetup {
  options: RulesOptions
  plan: NetworkPlan
  route: NetlinkSocket
}

export interface HostBridge {
  index: number
  mac: Buffer
  /** By this call. */
  created: boolean
}

/** Idempotent. HF_NETWORK_FAILED where a link of that name is there and isn't ours. */
export async function ensureBridge(setup: BridgeSetup): Promise<HostBridge> {
  const { options, plan, route } = setup
  const found = await findLink(route, options.bridge)
  const created = !found && (await createBridge(route, options, plan))
  try {
    return { ...(await configureBridge(setup)), created }
  } catch (error) {
    if (created) await route.request([deleteLink(options.bridge)])
    throw error
  }
}

async function configureBridge({
  options,
  plan,
  route,
}: BridgeSetup): Promise<{ index: number; mac: Buffer }> {
  const link = (await findLink(route, options.bridge))!
  refuseForeign(link, options, plan)
  await route.request([setLink({ link: link.index, alias: bridgeAlias(options) })])
  if (options.mtu !== undefined && link.mtu !== options.mtu) {
    const message = `bridge ${options.bridge} has an mtu of ${link.mtu}, not ${options.mtu}`
    throw new HoldfastError('HF_NETWORK_FAILED', message, { hint: 'Remove the network and make it again.' })
  }
  await ensureAddresses(route, link.index, plan)
  await route.request([
    // 127.0.0.1 may be a published address: its packets leave by this bridge and no other link.
    setLink({ link: options.bridge, ipv4: { [IPV4_DEVCONF_ROUTE_LOCALNET]: 1 } }),
    setLink({ link: options.bridge, up: true }),
  ])
  return { index: link.index, mac: macBytes(link.mac ?? '', 'bridge') }
}

/** False where somebody was faster: another process of ours, or a stranger, whom the caller will find. */
async function createBridge(
  route: NetlinkSocket,
  options: RulesOptions,
  plan: NetworkPlan,
): Promise<boolean> {
  try {
    await route.request([newBridge({ name: options.bridge, mac: bridgeMac(plan), mtu: options.mtu })])
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    return false
  }
  if (plan.families.includes(6)) {
    // Before it is up: a container could answer with router advertisements, and dad would delay its address.
    inNetns(options.hostNetns, () => {
      writeSysctl(`ipv6/conf/${options.bridge}/accept_ra`, '0')
      writeSysctl(`ipv6/conf/${options.bridge}/accept_dad`, '0')
    })
  }
  return true
}

/**
 * Made without an address of its own, a bridge takes its lowest port's, and changes it as ports come and go.
 */
function bridgeMac(plan: NetworkPlan): Buffer {
  return macBytes(macOf(plan.ranges[0]!.gateway), 'bridge')
}

/** The mark is written after the link is made. Without one, as a kill in between leaves it, its MAC tells. */
function refuseForeign(link: Link, options: RulesOptions, plan: NetworkPlan): void {
  const marked = link.alias === bridgeAlias(options)
  const unmarked = link.alias === undefined && link.mac === macOf(plan.ranges[0]!.gateway)
  if (link.kind === 'bridge' && (marked || unmarked)) return
  throw new HoldfastError(
    'HF_NETWORK_FAILED',
    `the host has a link ${options.bridge} already, and it is not ours`,
    {
      hint: `It is a ${link.kind ?? 'physical link'}${link.alias ? ` marked '${link.alias}'` : ''}. Choose another name, or remove it.`,
      details: { link: options.bridge },
    },
  )
}

async function ensureAddresses(route: NetlinkSocket, index: number, plan: NetworkPlan): Promise<void> {
  const wanted: Prefix[] = plan.ranges.map(({ gateway, subnet }) => ({ ...gateway, length: subnet.length }))
  const all = (await route.dump(dumpAddresses())).map(parseAddressReply).filter((each) => each !== undefined)
  const present = all
    .filter((each) => each.index === index)
    .map(({ address, prefixLength }): Prefix => ({ ...address, length: prefixLength }))
    .filter(({ family, value }) => family === 4 || value >> 118n !== linkLocal)
  const same = (a: Prefix) => (b: Prefix) => formatPrefix(a) === formatPrefix(b)
  const missing = wanted.filter((address) => !present.some(same(address)))
  const extra = present.filter((address) => !wanted.some(same(address)))
  if (missing.length + extra.length === 0) return
  await refuseOverlap(
    route,
    missing,
    all.filter((each) => each.index !== index),
  )
  await route.request([
    ...extra.map((address) => deleteAddress(index, address)),
    ...missing.map((address) => addAddress(index, address)),
  ])
}

/** Two links with one subnet: the host would send to one of them what is meant for the other. */
async function refuseOverlap(route: NetlinkSocket, wanted: Prefix[], others: LinkAddress[]): Promise<void> {
  for (const { index, address, prefixLength } of others) {
    const theirs = networkOf(address, prefixLength)
    const ours = wanted.find((prefix) => overlaps(networkOf(prefix, prefix.length), theirs))
    if (!ours) continue
    const links = (await route.dump(dumpLinks())).map(parseLink)
    const link = links.find((each) => each.index === index)?.name ?? `number ${index}`
    const subnet = formatPrefix(networkOf(ours, ours.length))
    throw new HoldfastError('HF_NETWORK_FAILED', `subnet ${subnet} is in use by link ${link}`, {
      hint: 'Choose another subnet, or remove that link.',
      details: { subnet, link },
    })
  }
}

/** Forwarding on, and our rules in place. */
export async function ensureRules(options: RulesOptions, plan: NetworkPlan): Promise<void> {
  const rules = rulesOf(options, plan)
  if (await isForeign(options)) throw foreignTable(options)
  const stale = await staleSources(rules, options.hostNetns)
  await nftApply(installText(rules, stale), options.hostNetns)
  if (plan.internal) return
  inNetns(options.hostNetns, () => {
    enableForwarding(plan.families, options.bridge)
  })
}

/**
 * A table of this name with chains that are not ours: his may have the names of ours, and would be flushed.
 */
async function isForeign({ table, hostNetns }: RulesOptions): Promise<boolean> {
  const objects = (await nftList(['chains', 'inet'], hostNetns)) ?? []
  const names = objects.flatMap(({ chain }) => (chain?.table === table ? [chain.name] : []))
  return names.length > 0 && !['raw', 'publish', 'postrouting'].every((name) => names.includes(name))
}

/** Subnets that an earlier configuration of this network left in the map of sources. */
async function staleSources(rules: NetworkRules, netns: number | undefined): Promise<Prefix[]> {
  const maps = ['source4', 'source6']
  const lists = await Promise.all(maps.map((map) => nftList(['map', 'inet', rules.table, map], netns)))
  const present = lists.flatMap((objects) => sourcesOf(objects ?? [], rules.bridge))
  const wanted = rules.subnets.map(formatPrefix)
  return present.filter((subnet) => !wanted.includes(subnet)).map((subnet) => parsePrefix(subnet, 'source'))
}

function foreignTable({ table }: RulesOptions): HoldfastError {
  return new HoldfastError(
    'HF_NETWORK_FAILED',
    `the host has an nftables table inet ${table}, and it is not ours`,
    {
      hint: 'Choose another name for ours.',
      details: { table },
    },
  )
}

export async function removeRules(options: RulesOptions, plan: NetworkPlan): Promise<void> {
  const rules = rulesOf(options, plan)
  const objects = await nftList(['table', 'inet', options.table], options.hostNetns)
  if (!objects) return
  const chains = objects.flatMap(({ chain }) => (chain ? [chain.name] : []))
  const others = chains.some((name) => name.startsWith('source-') && name !== `source-${options.bridge}`)
  if (others && !chains.includes(`source-${options.bridge}`)) return
  const policy = chains.includes(`egress-${options.bridge}`)
  const last = !others
  const guard = last && (await nftList(['table', 'bridge', options.table], options.hostNetns)) !== undefined
  await nftApply(
    (policy && !last ? removePolicyText(options) : '') +
      removeText(rules, last) +
      (guard ? `delete table bridge ${options.table}\n` : ''),
    options.hostNetns,
  )
}

export function rulesOf(options: RulesOptions, plan: NetworkPlan): NetworkRules {
  const { table, bridge, ipMasq, internal = false, isolated = true } = options
  return { table, bridge, ipMasq, internal, isolated, subnets: plan.ranges.map(({ subnet }) => subnet) }
}

/** A name for the host's end of a pair, which says nothing and meets no other. */
export function randomLinkName(): string {
  return `hf${randomBytes(6).toString('hex')}`
}
