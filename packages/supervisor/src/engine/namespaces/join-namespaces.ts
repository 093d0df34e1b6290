/** Other containers' namespaces for one that joins them, as paths of descriptors that we hold while it is made. */
import { existsSync } from 'node:fs'
import { closeFd, namespaceInode, openNamespace } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { NamespaceType } from '@holdfast/protocol'
import type { EngineContext } from '../context.ts'
import { takeNamespace } from '../network/endpoint.ts'
import type { NamespaceChoices } from './namespace-modes.ts'
import { ownerInodeOf } from './namespace-owner.ts'
import { withShim } from '../shim/shim-of.ts'
import { isRunning } from '../waits.ts'

export interface JoinedNamespaces {
  /** `/proc/<our pid>/fd/N` by type; valid until `release`. */
  paths: Partial<Record<NamespaceType, string>>
  release(): void
}

/**
 * Throws HF_CONTAINER_NOT_RUNNING, HF_NAMESPACE_NOT_FOUND, and HF_BAD_REQUEST where two of them belong to different
 * user namespaces: rights over a namespace belong to the user namespace that owns it, and one process has only one.
 */
export async function joinNamespaces(
  context: EngineContext,
  choices: NamespaceChoices,
): Promise<JoinedNamespaces> {
  const fds = new Map<NamespaceType, number>()
  const release = (): void => {
    for (const fd of fds.values()) closeFd(fd)
    fds.clear()
  }
  try {
    for (const [type, choice] of Object.entries(choices.namespaces) as [
      NamespaceType,
      NamespaceChoices['namespaces']['net'],
    ][]) {
      if (choice.kind === 'container') fds.set(type, await namespaceOfContainer(context, choice.id, type))
      if (choice.kind === 'path') fds.set(type, openByPath(choice.path, choice.name, type))
    }
    checkOwners(fds)
    const paths = Object.fromEntries([...fds].map(([type, fd]) => [type, `/proc/${process.pid}/fd/${fd}`]))
    return { paths, release }
  } catch (error) {
    release()
    throw error
  }
}

async function namespaceOfContainer(
  context: EngineContext,
  id: string,
  type: NamespaceType,
): Promise<number> {
  const other = context.containers.get(id)
  if (!isRunning(other.record)) {
    throw partnerNotRunning(type, id, { hint: `Start ${other.record.name} first.` })
  }
  if (type === 'ipc' && ['', 'private', 'none'].includes(other.record.hostConfig.IpcMode)) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `can't join IPC of container ${id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    )
  }
  if (type === 'net' && !existsSync(other.record.hostsPath)) {
    throw new HoldfastError(
      'HF_CONTAINER_STATE',
      `cannot join network of ${id}: the container that made it was removed, and the files of /etc with it`,
      { hint: `Make ${other.record.name} anew.` },
    )
  }
  try {
    return await withShim(other, (shim) => takeNamespace(shim, type))
  } catch (cause) {
    if (hasCode(cause, 'HF_NAMESPACE_NOT_FOUND', 'HF_CONTAINER_NOT_RUNNING'))
      throw partnerNotRunning(type, id, { cause }) // it is ending
    throw cause
  }
}

export function partnerNotRunning(
  type: string,
  id: string,
  options: { hint?: string; cause?: unknown },
): HoldfastError {
  const noun = type === 'net' ? 'network' : type
  const message = `cannot join ${noun} of a non running container: ${id}`
  return new HoldfastError('HF_CONTAINER_NOT_RUNNING', message, options)
}

function openByPath(path: string, name: string | undefined, type: NamespaceType): number {
  try {
    return openNamespace(path)
  } catch (cause) {
    if (!hasCode(cause, 'ENOENT', 'HF_BAD_REQUEST', 'ENOTTY', 'ENOTDIR')) throw cause
    const shown = name === undefined ? `at ${path}` : `named ${name}`
    throw new HoldfastError('HF_NAMESPACE_NOT_FOUND', `there is no ${type} namespace ${shown}`, { cause })
  }
}

/** The user namespaces that own the joined ones must be the one that the container will be in. */
function checkOwners(fds: Map<NamespaceType, number>): void {
  const userFd = fds.get('user')
  // The host's root has rights over every namespace, and one that asked for a user namespace of its own wants none.
  if (userFd === undefined) return
  const wanted = namespaceInode(userFd)
  for (const [type, fd] of fds) {
    if (type === 'user') continue
    const owner = ownerInodeOf(fd)
    if (owner === wanted || owner === hostUserNamespace()) continue
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `the ${type} namespace to join belongs to another user namespace than the container's`,
      { hint: 'Join namespaces of containers that share one user namespace.', details: { type, owner } },
    )
  }
}

let hostInode: number | undefined

function hostUserNamespace(): number {
  if (hostInode === undefined) {
    const fd = openNamespace('/proc/self/ns/user')
    hostInode = namespaceInode(fd)
    closeFd(fd)
  }
  return hostInode
}
