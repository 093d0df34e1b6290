import type { HostConfig } from '../container-config.ts'
import type { Container } from '../container.ts'
import type { ContainerRecord } from '../container-record.ts'
import type { EngineContext } from '../context.ts'
import { ownerOf } from './namespace-owner.ts'
import { chooseNamespaces, type NamespaceChoices } from './namespace-modes.ts'

/** At create: containers to join must be there. Throws HF_CONTAINER_NOT_FOUND, HF_BAD_REQUEST. */
export function chooseAtCreate(context: EngineContext, host: HostConfig): NamespaceChoices {
  return chooseNamespaces(host, {
    findContainer: (ref) => context.containers.get(ref).id,
    hasHostUsers: (id) => hasHostUsers(context.containers.get(id).record),
    namespaceDirectory: context.paths.namespaces,
    ownerOf: (path) => ownerOf(context.paths.namespaces, path),
  })
}

/** The choices that a container was made with. Whom it joined may be gone, and it may run all the same. */
export function choicesOf(context: EngineContext, { record }: Container): NamespaceChoices {
  return chooseNamespaces(record.hostConfig, {
    findContainer: (id) => id,
    hasHostUsers: () => hasHostUsers(record), // it has the ids of whom it joined
    namespaceDirectory: context.paths.namespaces,
    ownerOf: (path) => ownerOf(context.paths.namespaces, path),
  })
}

/** A user namespace by path may have the host's ids without being the host's. */
function hasHostUsers({ idRange, hostConfig }: ContainerRecord): boolean {
  return idRange === null && !/^(ns:|\/)/.test(hostConfig.UsernsMode)
}

const modes = ['NetworkMode', 'IpcMode', 'PidMode', 'UTSMode', 'UsernsMode', 'TimeMode'] as const

/**
 * Containers that are joined, by their ids: by the next start a name may be another container's, whose user namespace
 * has other ids than this one's files. Throws HF_CONTAINER_NOT_FOUND.
 */
export function joinedById(context: EngineContext, host: HostConfig): HostConfig {
  const resolved = { ...host }
  for (const mode of modes) {
    const [, ref] = /^container:(.+)/s.exec(host[mode]) ?? []
    if (ref !== undefined) resolved[mode] = `container:${context.containers.get(ref).id}`
  }
  return resolved
}
