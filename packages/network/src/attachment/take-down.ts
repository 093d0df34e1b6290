/**
 * Undoes an attachment: whatever of it is there, whatever else is gone. Every step is tried, whatever became of the
 * ones before. The record goes last, so that a killed process's work is found and finished.
 */
import { parseAddress, addressBytes } from '../address.ts'
import { findLink } from '../netlink/find-link.ts'
import { dumpElements, parseElements, type ElementRequest } from '../netlink/nfnetlink.ts'
import { NETLINK_ROUTE } from '../netlink/netlink.ts'
import { deletePresent } from '../ports/publish.ts'
import { deleteLink, setLink } from '../netlink/rtnetlink.ts'
import { publishMaps } from '../ruleset.ts'
import { Steps } from '../steps.ts'
import type { AttachmentFile, AttachmentRecord } from './attachment-file.ts'
import { returnDevice } from './host-device.ts'
import { table, type Host } from './host.ts'
import { LeaseFiles } from './lease-files.ts'
import { unguardLink, unguardMac } from './mac-guard.ts'
import { withdrawPorts } from './ports.ts'
import { handOn, siblingsOf } from './siblings.ts'
import { attachmentAlias, hostLinkName, shaperName, type AttachmentKey } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'
import { openOwnNetns } from './netns-path.ts'
import { unlistLink } from './unlist-link.ts'
import { openNetlink } from './waiting.ts'

export interface Remains {
  key: AttachmentKey
  file: AttachmentFile | undefined
  record: AttachmentRecord | undefined
  /** Addresses that are known from elsewhere, for when there is no record. */
  addresses: string[]
  /** A descriptor, where the network namespace is there. */
  netns: number | undefined
}

export async function takeDown(host: Host, dir: StateDir, remains: Remains): Promise<void> {
  const { key, record, netns } = remains
  const leases = new LeaseFiles(dir.leases)
  const steps = new Steps()
  const { attempt } = steps
  const known = record?.addresses ?? [...remains.addresses, ...leases.addressesOf(key)]
  await attempt(async () => {
    if (!record) return await withdrawWhatLeadsTo(host, known)
    const withdrawn = await withdrawPorts(host, record)
    if (withdrawn.length > 0) await handOn(host, await siblingsOf({ host, dir }, key), withdrawn)
  })
  await attempt(() => removeHostLink(host, key, record))
  await attempt(() => removeLink(host, record?.shaper ?? shaperName(key), attachmentAlias(key)))
  const { mac } = record ?? {}
  if (mac !== undefined) await attempt(() => unguardMac(host, { link: hostLinkName(key), mac }))
  if (!record) await attempt(() => unguardLink(host, hostLinkName(key)))
  if (netns !== undefined) await attempt(() => leaveInside(host, netns, remains))
  await attempt(() =>
    record ? known.forEach((address) => leases.release(key, address)) : leases.releaseAll(key),
  )
  if (steps.errors.length === 0) await attempt(() => remains.file?.remove())
  steps.end(`taking down ${key.containerId} failed`)
}

/** Without a record: every published port that leads to one of the addresses. */
async function withdrawWhatLeadsTo(host: Host, addresses: string[]): Promise<void> {
  if (addresses.length === 0) return
  const targets = addresses.map((text) => addressBytes(parseAddress(text, 'address')))
  await deletePresent(host, await publishedTo(host, (target) => targets.some((each) => each.equals(target))))
}

/** Elements of the published ports' maps whose container address is wanted. None where the rules are gone. */
export async function publishedTo(
  host: Host,
  wanted: (address: Buffer) => boolean,
): Promise<ElementRequest[]> {
  const found: ElementRequest[] = []
  for (const family of [4, 6] as const) {
    for (const set of Object.values(publishMaps[family])) {
      const replies = await host.netfilter.dump({ ...dumpElements({ table, set }), tolerate: ['ENOENT'] })
      for (const { key, data } of replies.flatMap(parseElements)) {
        if (data && wanted(data.subarray(0, family === 4 ? 4 : 16))) {
          found.push({ table, set, elements: [{ key: [key], data: [data] }] })
        }
      }
    }
  }
  return found
}

async function removeHostLink(
  host: Host,
  key: AttachmentKey,
  record: AttachmentRecord | undefined,
): Promise<void> {
  if (record && record.hostLink === undefined) return
  await removeLink(host, record?.hostLink ?? hostLinkName(key), attachmentAlias(key))
}

/** Only if it is marked as ours. */
async function removeLink(host: Host, name: string, alias: string): Promise<void> {
  const link = await host.link(name)
  if (link && (link.alias === alias || link.alias === undefined)) await unlistLink(host, link)
}

/** What has no end on the host. */
async function leaveInside(host: Host, netns: number, { key, record }: Remains): Promise<void> {
  if (!record || !['macvlan', 'ipvlan', 'host-device'].includes(record.kind)) return
  const socket = openNetlink(NETLINK_ROUTE, netns)
  try {
    if (record.kind === 'host-device') {
      if (record.device === undefined) return
      using own = openOwnNetns(host.netns)
      await returnDevice(socket, { name: key.interface, device: record.device, hostNetns: own.fd })
      return
    }
    const link = await findLink(socket, key.interface)
    if (link?.kind !== record.kind) return
    await socket.request([setLink({ link: link.index, up: false }), deleteLink(key.interface)])
  } finally {
    socket.close()
  }
}
