/**
 * Whether the rules that `nft` wrote once are still there, asked by netlink: `nft` takes 4 ms to start, and lists
 * in its own words.
 */
import { addressBytes } from './address.ts'
import type { RulesContext } from './open-network/context.ts'
import { rulesOf } from './host-bridge.ts'
import type { NetlinkSocket } from './netlink/netlink.ts'
import {
  chainOf,
  dumpElements,
  dumpRules,
  interfaceName,
  parseElements,
  type SetName,
} from './netlink/nfnetlink.ts'
import { installText } from './ruleset.ts'

/** Chains and sets of our table that are not what they should be; `['table']` where all are. */
export async function missingRules(
  context: Pick<RulesContext, 'options' | 'plan' | 'netfilter'>,
): Promise<string[]> {
  const { options, plan, netfilter } = context
  const expected = rulesPerChain(installText(rulesOf(options, plan), []), 'inet')
  const found = await countRules(netfilter, { table: options.table })
  if (found.size === 0) return ['table']
  // More than expected is somebody's addition, which is his business.
  const chains = [...expected]
    .filter(([chain, count]) => (found.get(chain) ?? 0) < count)
    .map(([chain]) => chain)
  return [...chains, ...(await missingSets(context))]
}

/** The rules that a text for `nft` adds, by chain. */
export function rulesPerChain(text: string, family: 'inet' | 'bridge'): Map<string, number> {
  const counts = new Map<string, number>()
  for (const [, of, chain] of text.matchAll(/^add rule (\S+) \S+ (\S+) /gm))
    if (of === family) counts.set(chain!, (counts.get(chain!) ?? 0) + 1)
  return counts
}

/** The rules of a table that are there, by chain. */
export async function countRules(
  netfilter: NetlinkSocket,
  table: Pick<SetName, 'table' | 'family'>,
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const reply of await netfilter.dump(dumpRules(table))) {
    const chain = chainOf(reply, table.table)
    if (chain !== undefined) found.set(chain, (found.get(chain) ?? 0) + 1)
  }
  return found
}

/** The sets that send packets of this bridge and its subnets to its chains. */
async function missingSets({
  options,
  plan,
  netfilter,
}: Pick<RulesContext, 'options' | 'plan' | 'netfilter'>): Promise<string[]> {
  const bridge = interfaceName(options.bridge)
  const wanted: [set: string, key: Buffer][] = [
    ['bridges', bridge],
    ['leave', bridge],
    ...(options.internal ? (['inside', 'internal'] as const) : []).map((set): [string, Buffer] => [
      set,
      bridge,
    ]),
    ...(options.isolated === false ? [['open', bridge] as [string, Buffer]] : []),
    ...plan.ranges.map(({ subnet }): [string, Buffer] => [`source${subnet.family}`, addressBytes(subnet)]),
  ]
  const missing: string[] = []
  for (const [set, key] of wanted) {
    const replies = await netfilter.dump(dumpElements({ table: options.table, set }, ['ENOENT']))
    if (!replies.flatMap(parseElements).some((element) => element.key.equals(key))) missing.push(set)
  }
  return missing
}
