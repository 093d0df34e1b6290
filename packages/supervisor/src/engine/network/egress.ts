/**
 * What a container may send to: lists in its labels, in the words of the network package (`parseEgressPolicy`). Names in
 * them live on answers of the container's own resolver, which its shim runs and tells us of.
 */
import { HoldfastError } from '@holdfast/errors'
import { parseEgressPolicy, type EgressPolicy, type NetworkEvent } from '@holdfast/network'
import type { DnsSpec, ShimEvent } from '@holdfast/protocol'
import type { ContainerConfig, HostConfig } from '../container-config.ts'
import type { Container, LiveShim } from '../container.ts'
import type { EngineContext } from '../context.ts'
import { nameServers, readHostResolvConf } from '../etc/etc-files.ts'
import type { NamespaceChoices } from '../namespaces/namespace-modes.ts'

const allowLabel = 'holdfast.egress.allow'
const denyLabel = 'holdfast.egress.deny'

/** The resolver's address in the container. */
export const ownResolver = '127.0.0.11'

/** Undefined: there is no policy. HF_BAD_REQUEST names the label's rule that is wrong. */
export function egressOf({ Labels }: ContainerConfig): EgressPolicy | undefined {
  return parseEgressPolicy({ allow: Labels[allowLabel], deny: Labels[denyLabel] }, 'holdfast.egress')
}

/** A policy that nothing would enforce is refused, and not passed over. */
export function checkEgress(config: ContainerConfig, choices: NamespaceChoices): void {
  if (!egressOf(config) || choices.network === 'bridge' || choices.network === 'none') return
  throw new HoldfastError('HF_UNSUPPORTED', 'holdfast.egress: this container has no network of its own', {
    hint: 'Leave --network out, or the labels.',
    details: { field: `Labels.${allowLabel in config.Labels ? allowLabel : denyLabel}` },
  })
}

/** A container with a policy asks its shim for names, which asks from the host: it need not be let through for that. */
export async function serveNames({ record }: Container, { client }: LiveShim): Promise<void> {
  if (!egressOf(record.config)) return
  const dns: DnsSpec = { table: { ttl: 0, hosts: [] }, upstreams: upstreamsOf(record.hostConfig), tell: true }
  await client.request('dns.set', { dns })
}

function upstreamsOf({ Dns }: HostConfig): DnsSpec['upstreams'] {
  const servers = nameServers({ host: readHostResolvConf(), dns: Dns, hostNetwork: true })
  return servers.map((address) => ({ address: address.split('%')[0]! }))
}

/** The answer goes to the container once the network knows what is allowed by it. */
export async function learnNames(
  { network, logger }: EngineContext,
  container: Container,
  { shim, event }: { shim: LiveShim; event: ShimEvent & { event: 'names-learned' } },
): Promise<void> {
  const { number, name, addresses, ttl } = event
  try {
    await network.learn({ name, addresses, ttl })
    await shim.client.request('dns.learned', { number })
  } catch (error) {
    logger.warn({ err: error, container: container.id, name }, 'an answer for a name was not taken note of')
  }
}

/** For the log; undefined where it is no packet that a policy refused. */
export function refusalOf(event: NetworkEvent): Record<string, unknown> | undefined {
  if (event.type !== 'refused') return undefined
  const { id, rule, protocol, source, destination, port } = event
  return { container: id, rule, protocol, source, destination, port }
}
