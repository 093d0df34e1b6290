/**
 * The other attachments of a container, in whichever network. A runtime asks for the same ports in each of its networks
 * (podman does), and a port leads to one address: that of the first, and when that goes, of another.
 */
import { hasCode } from '@holdfast/errors'
import type { PublishedPort } from '../bridge.ts'
import {
  AttachmentFile,
  attachmentNames,
  readRecord,
  splitName,
  type AttachmentRecord,
} from './attachment-file.ts'
import type { Host } from './host.ts'
import { findNetns } from './netns-path.ts'
import { collide, isClash, publishPorts } from './ports.ts'
import type { AttachmentKey } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'

export interface Sibling {
  dir: StateDir
  /** Of its file. */
  name: string
  record: AttachmentRecord
}

/** Those that are alive: one whose network namespace died without a word has nobody behind its ports. */
export async function siblingsOf(
  { host, dir }: { host: Host; dir: StateDir },
  { containerId, interface: own }: AttachmentKey,
): Promise<Sibling[]> {
  const siblings: Sibling[] = []
  for (const { dir: each } of dir.beside()) {
    for (const name of attachmentNames(each)) {
      const owner = splitName(name)
      if (owner.containerId !== containerId || (each.path === dir.path && owner.interface === own)) continue
      const record = readRecord(each, name)
      if (record && (await isAlive(host, record))) siblings.push({ dir: each, name, record })
    }
  }
  return siblings
}

export async function isAlive(host: Host, record: AttachmentRecord): Promise<boolean> {
  if (record.hostLink !== undefined) return (await host.link(record.hostLink)) !== undefined
  if (record.netns === '') return true
  using netns = findNetns(record.netns)
  return netns !== undefined
}

/** What none of them has. */
export function apartFrom(siblings: readonly Sibling[], ports: PublishedPort[]): PublishedPort[] {
  return ports.filter((port) => !siblings.some(({ record }) => sharedPorts(record, [port]).length > 0))
}

/** Hands on ports that were withdrawn, to the first that has each; one that is being worked on looks after itself. */
export async function handOn(
  host: Host,
  siblings: readonly Sibling[],
  ports: PublishedPort[],
): Promise<void> {
  let left = ports
  for (const { dir, name } of siblings) {
    if (left.length === 0) return
    using file = AttachmentFile.tryOpen(dir, name)
    const record = file?.read()
    if (!record?.result) continue
    const shared = sharedPorts(record, left)
    try {
      await publishPorts(host, record, shared)
    } catch (error) {
      // Somebody else was faster, or flushed the rules: then CHECK finds what is missing.
      if (!isClash(error) && !hasCode(error, 'ENOENT')) throw error
    }
    left = apartFrom([{ dir, name, record }], left)
  }
}

/** Those of a record that catch the same packets as one of these. */
export function sharedPorts(record: AttachmentRecord, ports: readonly PublishedPort[]): PublishedPort[] {
  return record.ports.filter((port) => ports.some((each) => collide(each, port)))
}
