/** The rules of one attachment, compared with what its setup wrote, and written again. */
import { formatAddress, networkOf } from '../address.ts'
import type { PublishedPort } from '../bridge.ts'
import type { AttachmentRecord } from './attachment-file.ts'
import { install, rulesAmiss, type RuleNeeds } from './base-rules.ts'
import type { Host } from './host.ts'
import { addressesOf, type InsideAddress } from './inside.ts'
import { guardMac, isGuarded } from './mac-guard.ts'
import type { NetworkConfig } from './network-config.ts'
import { collide, publishedPorts, publishPorts } from './ports.ts'
import { networkRules } from './rules-name.ts'
import { sharedPorts, siblingsOf } from './siblings.ts'
import { hostLinkName, type AttachmentKey } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

export interface RulesLook {
  host: Host
  dir: StateDir
  key: AttachmentKey
  network: NetworkConfig
  record: AttachmentRecord
  addresses: InsideAddress[]
  repair: boolean
}

/** What the setup gave the interface, as its result has it. */
export function recordedAddresses({ result, addresses, interface: own }: AttachmentRecord): InsideAddress[] {
  if (!result) return []
  const index = result.interfaces.findIndex(({ name, sandbox }) => name === own && sandbox)
  return addressesOf(result, index).filter(({ address }) => addresses.includes(formatAddress(address)))
}

/** What is amiss with an attachment's rules, one sentence each; with `repair` it is in order again. */
export async function inspectRules(look: RulesLook): Promise<string[]> {
  const { host, dir, network, repair, record, addresses } = look
  const needs: RuleNeeds = {
    ...(record.kind === 'chained' ? chainedRules(record) : networkRules(network)),
    subnets: addresses.map(({ address }) => networkOf(address, address.length)),
  }
  const wanted = network.ipMasq || record.ports.length > 0
  const amiss = wanted ? await rulesAmiss(host, needs) : []
  if (amiss.length > 0 && repair) {
    using _ = await dir.installing()
    await install(host, dir, needs)
  }
  const missing = await missingPorts(look)
  if (missing.length > 0 && repair) await publishPorts(host, record, missing)
  const guard = record.mac === undefined ? undefined : { link: hostLinkName(look.key), mac: record.mac }
  const unguarded = guard !== undefined && !(await isGuarded(host, guard))
  if (unguarded && repair) await guardMac(host, dir, guard)
  return [
    ...amiss,
    ...missing.map(
      ({ protocol, hostIp, hostPort }) => `port ${hostIp}:${hostPort}/${protocol} is not published any more`,
    ),
    ...(unguarded ? ['senders of the container are not checked any more'] : []),
  ]
}

function chainedRules({ rules, trunk, exit }: AttachmentRecord): Omit<RuleNeeds, 'subnets'> {
  return { name: rules, pointToPoint: exit !== undefined, trunk, ipMasq: false }
}

/** One that leads to another attachment of the container is not missing. */
async function missingPorts({ host, dir, key, record }: RulesLook): Promise<PublishedPort[]> {
  const without = async (left: PublishedPort[], of: AttachmentRecord) => {
    const { addresses } = of
    const published = await publishedPorts(host, { addresses, ports: sharedPorts(of, left) })
    return left.filter((port) => !published.some((each) => collide(each, port)))
  }
  let missing = await without(record.ports, record)
  if (missing.length === 0) return missing
  for (const sibling of await siblingsOf({ host, dir }, key)) missing = await without(missing, sibling.record)
  return missing
}
