/** The end of a network: its bridge and its rules, once nothing is attached. */
import { deleteLink, dumpLinks, parseLink } from '../rtnetlink.ts'
import { attachmentNames } from './attachment-file.ts'
import { removeRules } from './base-rules.ts'
import { bridgeMark } from './bridge-link.ts'
import type { Host } from './host.ts'
import { removeUnusedGuard } from './mac-guard.ts'
import type { NetworkConfig } from './network-config.ts'
import { rulesName } from './rules-name.ts'
import type { StateDir } from './state-dir.ts'

/**
 * Removes what the network's attachments shared, if there is none and nobody is about to make one. A bridge that
 * was not ours stays, and one that has ports.
 */
export async function removeIfUnused(host: Host, dir: StateDir, network: NetworkConfig): Promise<void> {
  using alone = dir.tryAlone()
  if (alone) await removeShared(host, dir, network)
}

/** With the network's lock held. */
export async function removeShared(host: Host, dir: StateDir, network: NetworkConfig): Promise<void> {
  if (attachmentNames(dir).length > 0) return
  const { link } = network
  if (link.kind === 'bridge') {
    const links = (await host.route.dump(dumpLinks())).map(parseLink)
    const bridge = links.find(({ name }) => name === link.bridge)
    if (bridge && links.some(({ master }) => master === bridge.index)) return // another network's, with its rules
    if (bridge?.alias === bridgeMark) await host.route.request([deleteLink(link.bridge)])
    else if (bridge) return
  }
  const pointToPoint = link.kind !== 'bridge'
  await removeUnusedGuard(host)
  await removeRules(host, { name: rulesName(network), pointToPoint, ipMasq: network.ipMasq })
}
