/**
 * The rules that a network's attachments share (ruleset.ts draws them), written by `nft` when the first one comes,
 * or when somebody flushed them. That they are there is told by an empty chain of theirs, whose name has a hash of
 * their text: one message to the kernel instead of a program for each attachment.
 */
import { formatPrefix, parsePrefix, type Prefix } from '../address.ts'
import { enableForwarding } from '../forwarding.ts'
import { inNetns } from '../netns.ts'
import { getChain } from '../netlink/nfnetlink.ts'
import {
  installText,
  removeText,
  sourceChain,
  sourcesOf,
  type NetworkRules,
  type NftObject,
} from '../ruleset.ts'
import { table, type Host } from './host.ts'
import { rulesInTheWay } from './rules-in-the-way.ts'
import { shortHash } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

export interface RuleNeeds {
  /** The bridge, or a name for the chains where there is none. */
  name: string
  pointToPoint: boolean
  /** The bridge on which the network is a VLAN. */
  trunk?: string | undefined
  ipMasq: boolean
  subnets: Prefix[]
}

/** True where they had to be written. */
export async function ensureRules(host: Host, dir: StateDir, needs: RuleNeeds): Promise<boolean> {
  if (needs.subnets.length === 0 || (await areInstalled(host, needs))) return false
  using _ = await dir.installing()
  if (await areInstalled(host, needs)) return false
  await install(host, dir, needs)
  return true
}

async function areInstalled(host: Host, needs: RuleNeeds): Promise<boolean> {
  const replies = await host.netfilter.request(
    needs.subnets.map((subnet) => getChain(table, marker(needs, subnet))),
  )
  return replies.every((reply) => reply.length > 0)
}

/** All of them anew; subnets of earlier configurations stay, as containers of theirs may. */
export async function install(host: Host, dir: StateDir, needs: RuleNeeds): Promise<void> {
  const { nftApply, nftList } = await import('../nft.ts')
  using _ = await dir.rules()
  const present = (await nftList(['table', 'inet', table], host.netns)) ?? []
  for (const { name, subnets } of await rulesInTheWay(host, dir, { present, needs })) {
    const gone = { name, pointToPoint: name.startsWith('net-'), ipMasq: false, subnets }
    await nftApply(withoutNetwork(gone, present), host.netns)
  }
  const known = sourcesOf(present, needs.name).map((text) => parsePrefix(text, 'source'))
  const subnets = merge(needs.subnets, known)
  const old = present.flatMap(({ chain }) =>
    chain && isMarkerOf(needs.name, chain.name) ? [chain.name] : [],
  )
  const text = [
    installText(rulesOf({ ...needs, subnets }), []),
    ...old.map((name) => `delete chain inet ${table} ${name}\n`),
    ...subnets.map((subnet) => `add chain inet ${table} ${marker(needs, subnet)}\n`),
  ].join('')
  await nftApply(text, host.netns)
  inNetns(host.netns, () => enableForwarding([...new Set(subnets.map(({ family }) => family))], needs.name))
}

/** What is amiss with them, one sentence each: for CHECK, which looks closer than an ADD. */
export async function rulesAmiss(host: Host, needs: RuleNeeds): Promise<string[]> {
  if (needs.subnets.length === 0) return []
  const { nftList } = await import('../nft.ts')
  const present = await nftList(['table', 'inet', table], host.netns)
  if (!present) return [`the nftables table inet ${table} is gone`]
  const amiss: string[] = []
  const known = sourcesOf(present, needs.name)
  for (const subnet of needs.subnets) {
    if (!known.includes(formatPrefix(subnet))) amiss.push(`${formatPrefix(subnet)} is missing in the rules`)
  }
  const subnets = merge(
    needs.subnets,
    known.map((text) => parsePrefix(text, 'source')),
  )
  for (const [chain, count] of ruleCounts(installText(rulesOf({ ...needs, subnets }), []))) {
    const found = present.filter((object) => ruleOf(object)?.chain === chain).length
    if (found < count) amiss.push(`chain ${chain} has ${found} of its ${count} rules`)
  }
  return amiss
}

/** Takes a network's rules away; the whole table, where no other network is in it. */
export async function removeRules(
  host: Host,
  dir: StateDir,
  needs: Omit<RuleNeeds, 'subnets'>,
): Promise<void> {
  const { nftApply, nftList } = await import('../nft.ts')
  using _ = await dir.rules()
  const present = await nftList(['table', 'inet', table], host.netns)
  if (!present) return
  const chains = present.flatMap(({ chain }) => (chain ? [chain.name] : []))
  if (!chains.includes(sourceChain(needs.name))) return
  const others = chains.some((name) => name.startsWith('source-') && name !== sourceChain(needs.name))
  const subnets = sourcesOf(present, needs.name).map((text) => parsePrefix(text, 'source'))
  const text = others
    ? withoutNetwork({ ...needs, subnets }, present)
    : removeText(rulesOf({ ...needs, subnets }), true)
  await nftApply(text, host.netns)
}

/** What takes one network's rules out of the table. */
function withoutNetwork(needs: RuleNeeds, present: NftObject[]): string {
  const markers = present.flatMap(({ chain }) =>
    chain && isMarkerOf(needs.name, chain.name) ? [`delete chain inet ${table} ${chain.name}\n`] : [],
  )
  return removeText(rulesOf(needs), false) + markers.join('')
}

/** The subnets that a network has in the rules. */
export async function installedSubnets(host: Host, name: string): Promise<Prefix[]> {
  const { nftList } = await import('../nft.ts')
  const present = (await nftList(['table', 'inet', table], host.netns)) ?? []
  return sourcesOf(present, name).map((text) => parsePrefix(text, 'source'))
}

function rulesOf({ name, trunk, ...needs }: RuleNeeds): NetworkRules {
  const vlan = trunk !== undefined && { trunk }
  return { table, bridge: name, internal: false, isolated: true, entry: 'open', ...vlan, ...needs }
}

function marker(needs: RuleNeeds, subnet: Prefix): string {
  return `ready-${needs.name}-${shortHash(installText(rulesOf({ ...needs, subnets: [subnet] }), []))}`
}

function isMarkerOf(name: string, chain: string): boolean {
  return chain.startsWith(`ready-${name}-`) && /^[0-9a-f]{8}$/.test(chain.slice(`ready-${name}-`.length))
}

function merge(a: Prefix[], b: Prefix[]): Prefix[] {
  const known = new Set(a.map(formatPrefix))
  return [...a, ...b.filter((prefix) => !known.has(formatPrefix(prefix)))]
}

function ruleCounts(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const [, chain] of text.matchAll(/^add rule inet \S+ (\S+) /gm)) {
    counts.set(chain!, (counts.get(chain!) ?? 0) + 1)
  }
  return counts
}

function ruleOf(object: NftObject): { chain?: string } | undefined {
  return (object as { rule?: { chain?: string } }).rule
}
