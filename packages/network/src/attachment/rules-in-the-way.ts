/**
 * An address is in one network's rules. Those of a network that is gone may be in the way of one that has its subnet now:
 * runtimes of older versions of the specification never ask for a network's end (GC), they remove its bridge at most.
 */
import { HoldfastError } from '@holdfast/errors'
import { formatPrefix, overlaps, parsePrefix, type Prefix } from '../address.ts'
import { deleteLink, dumpLinks, parseLink } from '../netlink/rtnetlink.ts'
import { sourcesByBridge, type NftObject } from '../ruleset.ts'
import { attachmentNames } from './attachment-file.ts'
import type { RuleNeeds } from './base-rules.ts'
import type { Host } from './host.ts'
import { ownRulesName } from './rules-name.ts'
import { bridgeMark } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

export interface Abandoned {
  name: string
  subnets: Prefix[]
}

/** Those whose rules can go; a bridge of ours that nobody is on goes here. HF_NETWORK_FAILED where one lives. */
export async function rulesInTheWay(
  host: Host,
  dir: StateDir,
  { present, needs }: { present: NftObject[]; needs: RuleNeeds },
): Promise<Abandoned[]> {
  const abandoned: Abandoned[] = []
  for (const [name, texts] of sourcesByBridge(present)) {
    if (name === needs.name) continue
    const subnets = texts.map((text) => parsePrefix(text, 'source'))
    const taken = subnets.find((subnet) => needs.subnets.some((each) => overlaps(subnet, each)))
    if (!taken) continue
    if (!(await isAbandoned(host, dir, name))) throw inUse(name, taken)
    abandoned.push({ name, subnets })
  }
  return abandoned
}

async function isAbandoned(host: Host, dir: StateDir, name: string): Promise<boolean> {
  const own = dir.beside().find((each) => ownRulesName(each.name) === name)
  if (own) return attachmentNames(own.dir).length === 0
  const link = await host.link(name)
  if (!link) return true
  if (link.alias !== bridgeMark) return false
  const ports = (await host.route.dump(dumpLinks()))
    .map(parseLink)
    .filter(({ master }) => master === link.index)
  // The host's interface in a VLAN has no ports of its own: its bridge's tell.
  if (link.kind !== 'bridge' || ports.length > 0) return false
  await host.route.request([deleteLink(name)])
  return true
}

function inUse(name: string, subnet: Prefix): HoldfastError {
  return new HoldfastError('HF_NETWORK_FAILED', `subnet ${formatPrefix(subnet)} is ${name}'s already`, {
    hint: 'Give one of the networks another subnet.',
    details: { subnet: formatPrefix(subnet), link: name },
  })
}
