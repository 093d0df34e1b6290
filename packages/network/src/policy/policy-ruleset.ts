/**
 * The rules of a network's egress policies. They are written when the first policy is set and are the same
 * however many there are: each list is a set, of which every rule is an element.
 *
 * ```
 * prerouting (before addresses are translated)
 *   from a bridge with policies → egress-BRIDGE
 *     answers, neighbour discovery, the network's own containers: pass
 *     network: on its deny list → refuse;    container: on its deny list → refuse
 *     network with an allow list, not on it → refuse;    container likewise
 *   refuse-BRIDGE: log to the network's nflog group, five a second for each container; reject
 * bridge, prerouting
 *   from a link of a container with a policy: its own addresses only, or it could borrow another's policy
 * ```
 *
 * Allowing is written as "found: return, else refuse" and never as "not found": a packet too short to have ports
 * would match neither.
 */
import { formatPrefix, type Family, type Prefix } from '../address.ts'

export type Scope = 'network' | 'container'
export type List = 'allow' | 'deny'

export interface PolicyRules {
  table: string
  bridge: string
  subnets: Prefix[]
  /** Where refusals are logged. */
  logGroup: number
}

/** Sets in the bridge family, of links that are watched and what they may send from. */
export const guardSets = { links: 'guarded', 4: 'owners4', 6: 'owners6' } as const

/** Bridges whose network has an allow list. */
export const limitedNetworks = 'limited'

/** `to`: every protocol; `port`: of one protocol, with its ports. */
export function policySet(
  bridge: string,
  scope: Scope,
  list: List,
  kind: 'to' | 'port',
  family: Family,
): string {
  return `policy-${bridge}-${scope}-${list}-${kind}${family}`
}

/** Containers that have an allow list. */
export function limitedSet(bridge: string, family: Family): string {
  return `policy-${bridge}-limited${family}`
}

/** Containers whose packets were refused lately, to log but some of them. */
export function loggedSet(bridge: string, family: Family): string {
  return `policy-${bridge}-logged${family}`
}

/** Every set that holds elements of this network's policies. */
export function allPolicySets(bridge: string): string[] {
  const names = ([4, 6] as const).flatMap((family) => [
    limitedSet(bridge, family),
    ...scopes.flatMap((scope) =>
      lists.flatMap((list) => kinds.map((kind) => policySet(bridge, scope, list, kind, family))),
    ),
  ])
  return names
}

const scopes = ['network', 'container'] as const
const lists = ['deny', 'allow'] as const
const kinds = ['to', 'port'] as const
const words = { 4: { type: 'ipv4_addr', protocol: 'ip' }, 6: { type: 'ipv6_addr', protocol: 'ip6' } } as const

/** One transaction; what is there already stays, chains are filled anew. */
export function policyText(rules: PolicyRules): string {
  return setsText(rules) + chainsText(rules) + guardText(rules.table)
}

function setsText({ table, bridge }: PolicyRules): string {
  const sets = ([4, 6] as const).flatMap((family) => {
    const { type } = words[family]
    const source = (scope: Scope) => (scope === 'container' ? `${type} . ` : '')
    return [
      `add set inet ${table} ${limitedSet(bridge, family)} { type ${type}; }`,
      `add set inet ${table} ${loggedSet(bridge, family)} { type ${type}; size 4096; flags dynamic,timeout; timeout 1m; }`,
      ...scopes.flatMap((scope) =>
        lists.flatMap((list) => [
          // The network's set has a protocol too, though any: a set of one field has other intervals.
          `add set inet ${table} ${policySet(bridge, scope, list, 'to', family)} { type ${source(scope) || 'inet_proto . '}${type}; flags interval,timeout; }`,
          `add set inet ${table} ${policySet(bridge, scope, list, 'port', family)} { type ${source(scope)}inet_proto . ${type} . inet_service; flags interval,timeout; }`,
        ]),
      ),
    ]
  })
  return `add table inet ${table}
${sets.join('\n')}
add set inet ${table} ${limitedNetworks} { type ifname; }
add map inet ${table} egress { type ifname : verdict; }
`
}

/** The rules that look a packet up in both sets of a list, with what to do when it is found. */
function lookups(bridge: string, scope: Scope, list: List, verdict: string): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const { protocol } = words[family]
    const source = scope === 'container' ? `${protocol} saddr . ` : ''
    const set = (kind: 'to' | 'port') => policySet(bridge, scope, list, kind, family)
    return [
      `${source || 'meta l4proto . '}${protocol} daddr @${set('to')} ${verdict}`,
      `${source}meta l4proto . ${protocol} daddr . th dport @${set('port')} ${verdict}`,
    ]
  })
}

function chainsText({ table, bridge, subnets, logGroup }: PolicyRules): string {
  const refuse = `goto refuse-${bridge}`
  const log = `log prefix "holdfast ${bridge} refused " group ${logGroup} snaplen 128`
  const chains: Record<string, string[]> = {
    [`refuse-${bridge}`]: [
      ...([4, 6] as const).map(
        (family) =>
          `update @${loggedSet(bridge, family)} { ${words[family].protocol} saddr limit rate 5/second burst 5 packets } ${log}`,
      ),
      // An ICMP error for a first SYN finds its socket busy and is lost: connect(2) would take a second to fail.
      'meta l4proto tcp reject with tcp reset',
      'reject with icmpx admin-prohibited',
    ],
    [`network-${bridge}`]: [...lookups(bridge, 'network', 'allow', 'return'), refuse],
    [`container-${bridge}`]: [...lookups(bridge, 'container', 'allow', 'return'), refuse],
    [`egress-${bridge}`]: [
      'ct state established,related accept',
      'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, mld-listener-done, mld2-listener-report } accept',
      ...subnets.map(
        (subnet) =>
          `${words[subnet.family].protocol} daddr ${formatPrefix(subnet)} fib daddr type != local accept`,
      ),
      ...lookups(bridge, 'network', 'deny', refuse),
      ...lookups(bridge, 'container', 'deny', refuse),
      `iifname @${limitedNetworks} jump network-${bridge}`,
      ...([4, 6] as const).map(
        (family) => `${words[family].protocol} saddr @${limitedSet(bridge, family)} jump container-${bridge}`,
      ),
    ],
  }
  const names = Object.keys(chains)
  return `${names.map((chain) => `add chain inet ${table} ${chain}`).join('\n')}
add chain inet ${table} egress { type filter hook prerouting priority -150; policy accept; }
flush chain inet ${table} egress
add rule inet ${table} egress iifname vmap @egress
${names.map((chain) => `flush chain inet ${table} ${chain}`).join('\n')}
${names.flatMap((chain) => chains[chain]!.map((rule) => `add rule inet ${table} ${chain} ${rule}`)).join('\n')}
add element inet ${table} egress { "${bridge}" : jump egress-${bridge} }
`
}

/** A frame with a VLAN tag would hide what is in it, and number 0 the kernel takes off. */
function guardText(table: string): string {
  const check = `add rule bridge ${table} check`
  return `add table bridge ${table}
add set bridge ${table} ${guardSets.links} { type ifname; }
add set bridge ${table} ${guardSets[4]} { type ifname . ipv4_addr; }
add set bridge ${table} ${guardSets[6]} { type ifname . ipv6_addr; }
add chain bridge ${table} check
add chain bridge ${table} guard { type filter hook prerouting priority -300; policy accept; }
flush chain bridge ${table} guard
add rule bridge ${table} guard iifname @${guardSets.links} jump check
flush chain bridge ${table} check
${check} ether type != { ip, ip6, arp } drop
${check} iifname . ip saddr != @${guardSets[4]} drop
${check} arp saddr ip != 0.0.0.0 iifname . arp saddr ip != @${guardSets[4]} drop
${check} ip6 saddr { ::, fe80::/10 } meta l4proto != ipv6-icmp drop
${check} ip6 saddr != { ::, fe80::/10 } iifname . ip6 saddr != @${guardSets[6]} drop
`
}

/** What goes when the network does; the tables themselves go with the last network. */
export function removePolicyText({ table, bridge }: Pick<PolicyRules, 'table' | 'bridge'>): string {
  const chains = [`egress-${bridge}`, `network-${bridge}`, `container-${bridge}`, `refuse-${bridge}`]
  return `add element inet ${table} ${limitedNetworks} { "${bridge}" }
delete element inet ${table} ${limitedNetworks} { "${bridge}" }
delete element inet ${table} egress { "${bridge}" }
${chains.map((chain) => `flush chain inet ${table} ${chain}`).join('\n')}
${chains.map((chain) => `delete chain inet ${table} ${chain}`).join('\n')}
${[...allPolicySets(bridge), loggedSet(bridge, 4), loggedSet(bridge, 6)].map((set) => `delete set inet ${table} ${set}`).join('\n')}
`
}
