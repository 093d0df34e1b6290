/** The names of one or several networks, as they are told to a resolver. Plain data: it crosses sockets as JSON. */

export interface DnsTable {
  /** How long an answer may be kept, in seconds. */
  ttl: number
  hosts: DnsHost[]
  /**
   * Domains (`shop.internal`) and prefixes (`10.213.1.0/24`) that are ours alone: a name or an address beneath that no
   * host has does not exist, and is never asked of anybody else.
   */
  local?: string[]
}

/** One container in one network. */
export interface DnsHost {
  /**
   * The container's id. A question may name it in short, by 12 characters or more; not whole where it has 64, since
   * DNS knows no label of more than 63.
   */
  id: string
  /** Name and aliases. The first is what a question for the name of an address is answered with. */
  names: string[]
  /** Each name is also known as `NAME.DOMAIN`: the network's name, a search domain. */
  domain?: string
  addresses: string[]
}

/** A table with hosts put in, in place of those with the same id and domain, and others taken out. */
export function changeTable(table: DnsTable, change: DnsChange): DnsTable {
  const key = ({ id, domain = '' }: Pick<DnsHost, 'id' | 'domain'>) => `${id} ${domain}`
  const gone = new Set([...(change.put ?? []), ...(change.remove ?? [])].map(key))
  return { ...table, hosts: [...table.hosts.filter((host) => !gone.has(key(host))), ...(change.put ?? [])] }
}

/** Hosts that come, in the place of those with the same id and domain, and hosts that go. */
export interface DnsChange {
  put?: DnsHost[]
  remove?: Pick<DnsHost, 'id' | 'domain'>[]
}
