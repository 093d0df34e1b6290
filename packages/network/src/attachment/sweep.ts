/** Garbage collection: what belongs to none of the attachments that the runtime knows is removed. */
import { addressFromBytes, contains } from '../address.ts'
import { deletePresent } from '../ports/publish.ts'
import { deleteLink, dumpLinks, parseLink } from '../netlink/rtnetlink.ts'
import { Steps } from '../steps.ts'
import { AttachmentFile, attachmentNames, readRecord, splitName } from './attachment-file.ts'
import { installedSubnets } from './base-rules.ts'
import { Host, table } from './host.ts'
import { inspectRules, recordedAddresses } from './inspect-rules.ts'
import { LeaseFiles } from './lease-files.ts'
import { findNetns, isHostNetns } from './netns-path.ts'
import { elementKey, elementsOf } from '../ports/port-elements.ts'
import { rulesName } from './rules-name.ts'
import { attachmentAlias, hostLinkName, networkAliasPrefix, type AttachmentKey } from './stable-name.ts'
import { StateDir } from './state-dir.ts'
import { publishedTo, takeDown } from './take-down.ts'
import { removeShared } from './unused.ts'
import type { SweepRequest } from './verbs.ts'

interface Sweep {
  host: Host
  dir: StateDir
  request: SweepRequest
  valid: Set<string>
  done: string[]
  steps: Steps
}

/**
 * What was removed or repaired, one line each. It waits for setups and teardowns of this network that are under way, and keeps
 * others out. It goes on after errors; the first is thrown at the end, with the others attached.
 */
export async function sweep(request: SweepRequest): Promise<string[]> {
  const { network } = request
  using host = new Host(network.hostNetns)
  const dir = new StateDir(network)
  using _ = await dir.alone()
  const valid = new Set(request.valid.map((each) => `${each.containerId}:${each.interface}`))
  const state: Sweep = { host, dir, request, valid, done: [], steps: new Steps() }
  for (const step of [sweepAttachments, sweepLinks, sweepLeases, sweepElements, repairRules])
    await state.steps.attempt(() => step(state))
  if (valid.size === 0) await state.steps.attempt(() => removeShared(host, dir, network))
  state.steps.end('removals failed')
  return state.done
}

async function sweepAttachments(state: Sweep): Promise<void> {
  const { host, dir, request, valid, done } = state
  for (const name of attachmentNames(dir)) {
    if (valid.has(name)) continue
    await state.steps.attempt(async () => {
      const key: AttachmentKey = { network: request.network.name, ...splitName(name) }
      using file = await AttachmentFile.open(dir, key, false)
      const record = file?.read()
      using netns = findNetns(record?.netns)
      const inside = netns && !isHostNetns(netns.fd, request.network.hostNetns) ? netns.fd : undefined
      await takeDown(host, dir, { key, file, record, addresses: [], netns: inside })
      done.push(`attachment ${key.containerId} ${key.interface}`)
    })
  }
}

/** Marked as this network's, and of no attachment: the records may have been lost. */
async function sweepLinks(state: Sweep): Promise<void> {
  const { host, request, valid, done } = state
  const prefix = networkAliasPrefix(request.network.name)
  for (const { name, alias } of (await host.route.dump(dumpLinks())).map(parseLink)) {
    if (!alias?.startsWith(prefix) || valid.has(alias.slice(prefix.length).replace(' ', ':'))) continue
    await state.steps.attempt(async () => {
      await host.route.request([deleteLink(name)])
      done.push(`link ${name} of ${alias.slice(prefix.length)}`)
    })
  }
}

function sweepLeases({ dir, valid, done }: Sweep): void {
  const leases = new LeaseFiles(dir.leases)
  for (const { address, owner } of leases.all()) {
    const slash = owner.indexOf('/')
    const [containerId, name] = [owner.slice(0, slash), owner.slice(slash + 1)]
    if (valid.has(`${containerId}:${name}`)) continue
    leases.release({ containerId, interface: name }, address)
    done.push(`lease of ${address} to ${containerId}`)
  }
}

/** Ports that lead into this network's subnets and are on no record. */
async function sweepElements(state: Sweep): Promise<void> {
  const { host, dir, request, done } = state
  const subnets = await installedSubnets(host, rulesName(request.network))
  if (subnets.length === 0 || (await livesWithoutRecord(state))) return
  const recorded = new Set(
    dir
      .beside() // networks may share a bridge
      .flatMap(({ dir: each }) => attachmentNames(each).flatMap((name) => readRecord(each, name) ?? []))
      .flatMap(({ addresses, ports }) => elementsOf({ options: { table } }, addresses, ports))
      .map(elementKey),
  )
  const leading = await publishedTo(host, (bytes) =>
    subnets.some((subnet) => contains(subnet, addressFromBytes(bytes))),
  )
  const stray = leading.filter((element) => !recorded.has(elementKey(element)))
  await deletePresent(host, stray)
  if (stray.length > 0) done.push(`${stray.length} published ports`)
}

/** Whose ports they are cannot be told, and some are in use. */
async function livesWithoutRecord({ host, dir, request, valid }: Sweep): Promise<boolean> {
  for (const name of valid) {
    if (readRecord(dir, name)) continue
    const key: AttachmentKey = { network: request.network.name, ...splitName(name) }
    if ((await host.link(hostLinkName(key)))?.alias === attachmentAlias(key)) return true
  }
  return false
}

/** Somebody may have flushed them since. */
async function repairRules({ host, dir, request, done }: Sweep): Promise<void> {
  const { network } = request
  for (const name of attachmentNames(dir)) {
    const record = readRecord(dir, name)
    if (!record?.result) continue
    const key: AttachmentKey = { network: network.name, ...splitName(name) }
    const addresses = recordedAddresses(record)
    const repaired = await inspectRules({ host, dir, key, network, record, addresses, repair: true })
    done.push(...repaired.map((what) => `repaired for ${key.containerId}: ${what}`))
  }
}
