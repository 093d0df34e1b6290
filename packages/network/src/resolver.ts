/** A resolver inside a network namespace: names of a table, and everything else by upstream servers. */
import { connectIn, listenIn, openDatagrams, openPortRedirectIn } from '@holdfast/core'
import { DnsServer, type DnsServerOptions, type DnsTable, type Upstream } from '@holdfast/resolver'

/** As a `DnsServer` of `@holdfast/resolver` takes them, whose sockets are core's here. */
export type ResolverOptions = Omit<DnsServerOptions, 'sockets' | 'inherited'>

/** A resolver that answers. */
export interface Resolver {
  /** Throws HF_BAD_REQUEST, and goes on with the table it has. */
  setTable(table: DnsTable): void
  setUpstreams(upstreams: readonly Upstream[]): void
  close(): void
}

/**
 * Answers at 127.0.0.11:53, or where `address` and `port` say, in `netns`, by udp and tcp. Whoever is to use it needs
 * that address in resolv.conf (`resolvConf` writes one). `onAnswer` hears of each answer of an upstream before the
 * client does: what a filter that goes by names needs. Throws SyscallError where something listens there already.
 */
export function openResolver(options: ResolverOptions): Resolver {
  return new DnsServer({ ...options, sockets: { openDatagrams, listenIn, connectIn, openPortRedirectIn } })
}
