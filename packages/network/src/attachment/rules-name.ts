import type { RuleNeeds } from './base-rules.ts'
import type { NetworkConfig } from './network-config.ts'
import { gatewayName, shortHash } from './stable-name.ts'

/** The name of a network's chains: that of the link by which its packets come and go, or its own where each container has one. */
export function rulesName({ name, link }: Pick<NetworkConfig, 'name' | 'link'>): string {
  return link.kind === 'bridge' ? gatewayName(link) : ownRulesName(name)
}

/** In the rules it stands where links' names do, which have 15 bytes. */
export function ownRulesName(network: string): string {
  return network.length <= 11 ? `net-${network}` : `net-${shortHash(network)}`
}

/** What a network needs of the rules, its subnets aside. */
export function networkRules(network: NetworkConfig): Omit<RuleNeeds, 'subnets'> {
  const { link, ipMasq } = network
  const name = rulesName(network)
  const trunk = link.kind === 'bridge' && name !== link.bridge ? link.bridge : undefined
  return { name, pointToPoint: link.kind !== 'bridge', trunk, ipMasq }
}
