/** The user namespace of a container: whose ids it has on the host. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { HoldfastError } from '@holdfast/errors'
import { defaultSize } from '../../records/id-ranges.ts'
import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'
import type { NamespaceChoices } from './namespace-modes.ts'

export type IdRange = { start: number; size: number } | null

/**
 * The id range that a new container gets: one of its own, that of the container whose user namespace it joins, that
 * of a namespace that is there already, or null with the host's. Throws HF_ID_RANGE_EXHAUSTED, HF_INVALID_CONFIG.
 */
export async function takeIdRange(
  context: EngineContext,
  id: string,
  imageId: string,
  choices: NamespaceChoices,
): Promise<IdRange> {
  const { user } = choices.namespaces
  if (user.kind === 'host') return null
  if (user.kind === 'container') return context.containers.get(user.id).record.idRange
  if (user.kind === 'path') return await mapOfNamespace(user.path)
  const size = choices.userIds ?? defaultSize
  const highest = context.images.maxId(imageId)
  if (highest >= size) {
    throw new HoldfastError(
      'HF_INVALID_CONFIG',
      `the image has files of user or group ${highest}, and the container would have ${size} ids`,
      {
        hint: `Ask for more with --userns=auto:size=${Math.ceil((highest + 1) / defaultSize) * defaultSize}, or use --userns=host.`,
        details: { path: 'HostConfig.UsernsMode', highest, size },
      },
    )
  }
  if (size < 1 || size % defaultSize !== 0) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid UsernsMode: the size must be a multiple of ${defaultSize}`,
      {
        details: { field: 'HostConfig.UsernsMode' },
      },
    )
  }
  return context.idRanges.allocate(id, size)
}

/** Gives a range back, or leaves it to another container that lives in the same user namespace. */
export function releaseIdRange(context: EngineContext, { id, record }: Container): void {
  if (!record.idRange) return
  const { start } = record.idRange
  const other = context.containers
    .list()
    .find((each) => each.id !== id && each.record.idRange?.start === start)
  if (other) context.idRanges.transfer(id, other.id)
  else context.idRanges.release(id)
}

/**
 * The map of a user namespace that no process of ours is in: a host program enters it and reads its own map, which
 * the kernel then shows in terms of the parent namespace (user_namespaces(7)).
 */
export async function mapOfNamespace(path: string): Promise<IdRange> {
  const { stdout } = await promisify(execFile)(
    '/usr/bin/nsenter',
    [`--user=${path}`, '--preserve-credentials', '/bin/cat', '/proc/self/uid_map', '/proc/self/gid_map'],
    { env: {}, timeout: 5000 },
  ).catch((cause: unknown) => {
    throw new HoldfastError('HF_NAMESPACE_NOT_FOUND', `cannot enter the user namespace ${path}`, { cause })
  })
  const [uid, gid, ...rest] = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
  if (!uid || !gid || rest.length > 0 || uid[0] !== 0 || uid.join() !== gid.join()) {
    throw new HoldfastError(
      'HF_UNSUPPORTED',
      `the id maps of ${path} are not one range that begins with root`,
      {
        details: { field: 'HostConfig.UsernsMode' },
      },
    )
  }
  return uid[1] === 0 ? null : { start: uid[1]!, size: uid[2]! }
}
