/**
 * Attachments whose network namespace died without a word (a host's runtime was killed): their addresses and ports
 * are wanted by somebody else now. What is looked at is the lock, so that nobody's work in progress is taken away.
 */
import { hasCode } from '@holdfast/errors'
import {
  AttachmentFile,
  attachmentNames,
  readRecord,
  splitName,
  type AttachmentRecord,
} from './attachment-file.ts'
import { install, type RuleNeeds } from './base-rules.ts'
import type { Host } from './host.ts'
import { findNetns } from './netns-path.ts'
import { collide, isClash, portInUse, publishPorts } from './ports.ts'
import type { Work } from './work.ts'
import type { AttachmentKey } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'
import { takeDown } from './take-down.ts'

/** Once more where it failed for want of an address, and dead attachments gave some back. */
export async function retryAfterReaping<T>(work: Work, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (!hasCode(error, 'HF_ADDRESS_POOL_EXHAUSTED', 'HF_ADDRESS_IN_USE')) throw error
    if ((await reapDead(work.host, [networkOf(work)])) === 0) throw error
    return await attempt()
  }
}

/** HF_PORT_IN_USE with the container whose it is. */
export async function publishOrReap(work: Work, record: AttachmentRecord, needs: RuleNeeds): Promise<void> {
  const { host, dir } = work
  const publish = () => publishPorts(host, record)
  try {
    await publish()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      using _ = await dir.installing()
      await install(host, needs) // somebody flushed them a moment ago
    } else if (!isClash(error)) {
      throw error
    } else if ((await reapDead(host, dir.beside())) === 0) {
      throw clash(work, record, error)
    }
    try {
      await publish()
    } catch (again) {
      throw isClash(again) ? clash(work, record, again) : again
    }
  }
}

interface Network {
  name: string
  dir: StateDir
}

/** How many there were. */
async function reapDead(host: Host, networks: Network[]): Promise<number> {
  let count = 0
  for (const { name, dir } of networks) {
    for (const entry of attachmentNames(dir)) {
      using file = AttachmentFile.tryOpen(dir, entry)
      if (!file) continue
      const key: AttachmentKey = { network: name, ...splitName(entry) }
      const record = file.read()
      if (record && (await isAlive(host, record))) continue
      await takeDown(host, dir, { key, file, record, addresses: [], netns: undefined })
      count++
    }
  }
  return count
}

async function isAlive(host: Host, record: AttachmentRecord): Promise<boolean> {
  if (record.hostLink !== undefined) return (await host.link(record.hostLink)) !== undefined
  if (record.netns === '') return true
  using netns = findNetns(record.netns)
  return netns !== undefined
}

function networkOf({ dir, key }: Work): Network {
  return { name: key.network, dir }
}

function clash(work: Work, { ports }: AttachmentRecord, cause: unknown): Error {
  for (const { dir } of work.dir.beside()) {
    for (const entry of attachmentNames(dir)) {
      const other = readRecord(dir, entry)
      if (!other || (dir.path === work.dir.path && splitName(entry).containerId === work.key.containerId))
        continue
      const port = ports.find((each) => other.ports.some((theirs) => collide(each, theirs)))
      if (port) return portInUse(port, `container ${other.containerId}`, { container: other.containerId })
    }
  }
  const error = portInUse(ports[0]!, 'another container', undefined)
  error.cause = cause
  return error
}
