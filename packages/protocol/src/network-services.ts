/**
 * What a shim serves on its container's network: names at 127.0.0.11 inside, and relays on addresses of the host that
 * the kernel can't translate. Both go on while the supervisor is away, and are taken up by a later shim.
 */
import * as v from 'valibot'

/** What a container's resolver answers with, and whom it asks. */
export interface DnsSpec {
  table: {
    /** Of every answer, in seconds. */
    ttl: number
    hosts: DnsHostSpec[]
    /** Domains and prefixes that are never asked of others. */
    local?: string[]
  }
  /** Asked in this order. `container`: from the container's own network. */
  upstreams: { address: string; port?: number; from?: 'host' | 'container' }[]
  /** Each upstream answer is told as `names-learned`, and given to the container once `dns.learned` has come. */
  tell?: boolean
}

/** One container, as the resolver of another knows it. */
export interface DnsHostSpec {
  /** The container's id. */
  id: string
  names: string[]
  /** The network's name: names are known with it too. */
  domain?: string
  addresses: string[]
}

/** Listens on the host, and connects to the container from there. */
export interface RelaySpec {
  protocol: 'tcp' | 'udp'
  listen: { address: string; port: number }
  target: { address: string; port: number }
}

/** The requests about names and relayed ports. */
export interface NetworkRequests {
  /** Names at 127.0.0.11:53 in the container's network; `null`: none any more. Replaces what was there. */
  'dns.set': { params: { dns: DnsSpec | null }; result: Record<string, never> }
  /** Hosts come in place of those with the same id and domain. HF_CONTAINER_STATE without a `dns.set` before. */
  'dns.change': {
    params: { put: DnsHostSpec[]; remove: { id: string; domain?: string }[] }
    result: Record<string, never>
  }
  /** The answer of that number may be given: a filter that goes by names knows of it. */
  'dns.learned': { params: { number: number }; result: Record<string, never> }
  /** The whole list: one that is missing ends. HF_PORT_IN_USE changes nothing; `details` has port, protocol, hostIp. */
  'relays.set': { params: { relays: RelaySpec[] }; result: Record<string, never> }
}

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(255))
const address = v.pipe(v.string(), v.ip('must be an IP address'))
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))
const place = v.object({ address, port })
const host = v.object({
  id: name,
  names: v.pipe(v.array(name), v.maxLength(256)),
  domain: v.exactOptional(name),
  addresses: v.pipe(v.array(address), v.maxLength(16)),
})

/** A frame has 1 MiB at most: that is the true limit of a table. */
const hosts = v.pipe(v.array(host), v.maxLength(16_384))

const dnsSpecSchema = v.object({
  table: v.object({
    ttl: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(86_400)),
    hosts,
    local: v.exactOptional(v.pipe(v.array(name), v.maxLength(256))),
  }),
  upstreams: v.pipe(
    v.array(
      v.object({
        address,
        port: v.exactOptional(port),
        from: v.exactOptional(v.picklist(['host', 'container'])),
      }),
    ),
    v.maxLength(16),
  ),
  tell: v.exactOptional(v.boolean()),
})

const relaysSchema = v.pipe(
  v.array(v.object({ protocol: v.picklist(['tcp', 'udp']), listen: place, target: place })),
  v.maxLength(1024),
)

export const networkRequestSchemas = {
  'dns.set': v.object({ dns: v.nullable(dnsSpecSchema) }),
  'dns.change': v.object({
    put: hosts,
    remove: v.pipe(v.array(v.object({ id: name, domain: v.exactOptional(name) })), v.maxLength(16_384)),
  }),
  'dns.learned': v.object({ number: v.pipe(v.number(), v.integer(), v.minValue(0)) }),
  'relays.set': v.object({ relays: relaysSchema }),
} satisfies Record<keyof NetworkRequests, v.GenericSchema>
