/** A network's policies as they are in the kernel: the rules, written once, and the elements that are there. */
import { Mutex } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { addressBytes, addressFromBytes, contains } from '../address.ts'
import type { RulesContext } from '../open-network/context.ts'
import type { NetlinkSocket } from '../netlink/netlink.ts'
import { dumpElements, interfaceName, parseElements, type SetName } from '../netlink/nfnetlink.ts'
import { nftApply, nftList } from '../nft.ts'
import { countRules, rulesPerChain } from '../rules-check.ts'
import type { Packet } from './egress-rule.ts'
import {
  elementId,
  foundElement,
  readElement,
  type ReadElement,
  type Subject,
  type TimedElement,
} from './policy-elements.ts'
import { allPolicySets, guardSets, limitedNetworks, limitedSet, policyText } from './policy-ruleset.ts'
import { openRefusalLog, type RefusalLog } from './refusal-log.ts'

export class PolicyRulesInstaller {
  readonly #context: RulesContext
  readonly #told: (packet: Packet) => void
  readonly #mutex = new Mutex()
  #log: RefusalLog | undefined
  #installed = false

  constructor(context: RulesContext, told: (packet: Packet) => void) {
    this.#context = context
    this.#told = told
  }

  /** Writes the rules, once; `anew`: also where that was done. */
  install(when: 'once' | 'anew' = 'once'): Promise<void> {
    return this.#mutex.run(async () => {
      if (this.#installed && when === 'once') return
      const { options } = this.#context
      if (!this.#installed) await refuseForeignTable(options.table, options.hostNetns)
      this.#log ??= await openRefusalLog(groupOf(options), options.hostNetns, this.#told)
      await nftApply(this.#text(this.#log.group), options.hostNetns)
      this.#installed = true
    })
  }

  /** Chains that lack rules. */
  async missing(): Promise<string[]> {
    if (!this.#log) return []
    const { netfilter, options } = this.#context
    const missing: string[] = []
    for (const family of ['inet', 'bridge'] as const) {
      const found = await countRules(netfilter, { table: options.table, family })
      for (const [chain, count] of rulesPerChain(this.#text(this.#log.group), family)) {
        if ((found.get(chain) ?? 0) < count) missing.push(chain)
      }
    }
    return missing
  }

  close(): void {
    this.#log?.close()
  }

  #text(logGroup: number): string {
    const { options, plan } = this.#context
    const { table, bridge } = options
    return policyText({ table, bridge, subnets: plan.ranges.map(({ subnet }) => subnet), logGroup })
  }
}

/** A number that is this network's as long as nobody else takes it, in every run. */
function groupOf({ table, bridge }: { table: string; bridge: string }): number {
  let hash = 0
  for (const byte of Buffer.from(`${table}/${bridge}`)) hash = (hash * 31 + byte) % 0xf000
  return 0x400 + hash
}

/** Of the bridge family; that of family inet was looked at when the network was opened. */
async function refuseForeignTable(table: string, netns: number | undefined): Promise<void> {
  const chains = ((await nftList(['chains', 'bridge'], netns)) ?? []).flatMap(({ chain }) =>
    chain?.table === table ? [chain.name] : [],
  )
  if (chains.length === 0 || chains.includes('guard')) return
  throw new HoldfastError(
    'HF_NETWORK_FAILED',
    `the host has an nftables table bridge ${table}, and it is not ours`,
    { hint: 'Choose another name for ours.', details: { table } },
  )
}

/**
 * Every element of this network's policies, and of the guard of its links, with `orphans` also of links that are
 * gone; undefined where there are no such sets.
 */
export async function presentPolicy(
  context: RulesContext,
  { orphans = false } = {},
): Promise<Map<string, TimedElement> | undefined> {
  const { table, bridge } = context.options
  if (!(await exists(context.netfilter, { table }))) return undefined
  const present = new Map<string, TimedElement>()
  const links = new Set([...context.published.values()].map(({ link }) => link))
  const guard = (set: string): SetName => ({ family: 'bridge', table, set })
  const sets: SetName[] = [
    ...allPolicySets(bridge).map((set) => ({ table, set })),
    { table, set: limitedNetworks },
    // Before the links: it is by their addresses that links which are gone are known.
    guard(guardSets[4]),
    guard(guardSets[6]),
    guard(guardSets.links),
  ]
  for (const set of sets) {
    const now = performance.now()
    const replies = await context.netfilter.dump(dumpElements(set, ['ENOENT']))
    for (const found of replies.flatMap(parseElements)) {
      // These sets are shared by the table's networks.
      if (set.set === limitedNetworks && !found.key.equals(interfaceName(bridge))) continue
      if (set.family === 'bridge') {
        const link = linkOf(found.key)
        if (orphans && isOurs(context, found.key.subarray(16))) links.add(link)
        if (!links.has(link)) continue
      }
      const element = foundElement(set, found, now)
      present.set(elementId(element), element)
    }
  }
  return present
}

/** `address`: what follows a link's name in a key; empty where nothing does. */
function isOurs({ plan }: RulesContext, address: Buffer): boolean {
  return address.length > 0 && plan.ranges.some(({ subnet }) => contains(subnet, addressFromBytes(address)))
}

async function exists(netfilter: NetlinkSocket, { table }: { table: string }): Promise<boolean> {
  const rules = await countRules(netfilter, { table })
  return [...rules.keys()].some((chain) => chain.startsWith('egress-'))
}

function linkOf(key: Buffer): string {
  return key.toString('utf8', 0, Math.max(0, key.indexOf(0)))
}

/** Whether an element is a subject's; where it may go by itself, what it says. */
export function belongsTo(
  { options }: RulesContext,
  { members }: Subject,
  element: TimedElement,
): boolean | ReadElement {
  const read = readElement(options.bridge, element)
  const key = element.element.key[0]!
  if (!read) {
    if (!members) return element.set.set === limitedNetworks
    if (element.set.family === 'bridge') return linkOf(key) === members.link
    return members.addresses.some(
      (address) =>
        element.set.set === limitedSet(options.bridge, address.family) && key.equals(addressBytes(address)),
    )
  }
  const ours = members
    ? members.addresses.some(
        ({ family, value }) => read.source?.family === family && read.source.value === value,
      )
    : read.source === undefined
  if (!ours) return false
  return element.expires === Infinity ? true : read
}
