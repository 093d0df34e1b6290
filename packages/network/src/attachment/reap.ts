/**
 * Attachments whose network namespace died without a word (a host's runtime was killed): their addresses and ports
 * are wanted by somebody else now. What is looked at is the lock, so that nobody's work in progress is taken away.
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
import { install, type RuleNeeds } from './base-rules.ts'
import type { Host } from './host.ts'
import { collide, isClash, portInUse, publishPorts } from './ports.ts'
import type { Work } from './work.ts'
import type { AttachmentKey } from './stable-name.ts'
import { apartFrom, isAlive, siblingsOf } from './siblings.ts'
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

/** All of them, but for those that another attachment of the container has. HF_PORT_IN_USE with the container whose it is. */
export async function publishOrReap(work: Work, record: AttachmentRecord, needs: RuleNeeds): Promise<void> {
  const { host, dir, key } = work
  let { ports } = record
  for (let remedies = 3; ; remedies--) {
    try {
      return await publishPorts(host, record, ports)
    } catch (error) {
      if (hasCode(error, 'ENOENT') && remedies > 0) {
        using _ = await dir.installing()
        await install(host, dir, needs) // somebody flushed them a moment ago
        continue
      }
      if (!isClash(error)) throw error
      const others = apartFrom(await siblingsOf(work, key), ports)
      const helps = others.length < ports.length || (remedies > 0 && (await reapDead(host, dir.beside())) > 0)
      if (!helps) throw clash(work, ports, error)
      ports = others
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

function networkOf({ dir, key }: Work): Network {
  return { name: key.network, dir }
}

function clash(work: Work, ports: PublishedPort[], cause: unknown): Error {
  for (const { dir } of work.dir.beside()) {
    for (const entry of attachmentNames(dir)) {
      const other = readRecord(dir, entry)
      if (!other || splitName(entry).containerId === work.key.containerId) continue
      const port = ports.find((each) => other.ports.some((theirs) => collide(each, theirs)))
      if (port) return portInUse(port, `container ${other.containerId}`, { container: other.containerId })
    }
  }
  const error = portInUse(ports[0]!, 'another container', undefined)
  error.cause = cause
  return error
}
