/** A container's OCI configuration: the record, with everything looked up that the policy in spec/ wants to know. */
import { hostname as hostHostname } from 'node:os'
import type { Snapshot } from '@holdfast/images'
import { resolveGroups, resolveUser } from '@holdfast/plan'
import type { NamespaceType } from '@holdfast/protocol'
import {
  buildSpec,
  resolveBlockIo,
  resolveDevices,
  type Spec,
  type SpecInput,
  type SpecMount,
} from '../spec/index.ts'
import { readAccountFiles } from './etc/account-files.ts'
import type { MountRequest } from './mounts/binds.ts'
import type { ContainerConfig, HostConfig } from './container-config.ts'
import type { ContainerRecord, MountPoint } from './container-record.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { IdRange } from './namespaces/id-map.ts'
import { namedRequests } from './mounts/mount-requests.ts'
import type { NamespaceChoices } from './namespaces/namespace-modes.ts'
import { shmOf } from './mounts/shared-memory.ts'

/** At create: throws for whatever the policy refuses. The user is looked up at start only, in the container's files. */
export function checkSpec(
  context: EngineContext,
  config: ContainerConfig,
  hostConfig: HostConfig,
  choices: NamespaceChoices,
  mounts: MountRequest[],
): Spec {
  const user = { uid: 0, gid: 0, groups: [], home: '/' }
  const idRange: IdRange =
    choices.namespaces.user.kind === 'host' ? null : { start: 0x7000_0000, size: 65_536 }
  const unknown = '/proc/self/ns'
  return buildSpec({
    id: '0'.repeat(64),
    config,
    hostConfig,
    user,
    idRange,
    args: commandOf(config),
    mounts: mounts.map((request) => specMount(request, request.source || '/')),
    files: { hosts: '/', hostname: '/', resolvConf: '/' },
    namespaces: namespacesOf(choices, (type) => `${unknown}/${type}`),
    shm: choices.ipc === 'none' ? 'none' : 'own',
    hostname: 'check',
    domainname: config.Domainname,
    devices: resolveDevices(hostConfig),
    blockIO: resolveBlockIo(hostConfig),
    host: context.host,
  })
}

/** `joined`: paths of other containers' namespaces, valid while the container is made. Throws HF_BAD_REQUEST. */
export function buildOciConfig(
  context: EngineContext,
  container: Container,
  choices: NamespaceChoices,
  joined: Partial<Record<NamespaceType, string>>,
): Spec {
  const { record } = container
  const { config, hostConfig, idRange } = record
  const input: SpecInput = {
    id: record.id,
    config,
    hostConfig,
    idRange,
    args: [record.path, ...record.args],
    user: userOf(context.images.getSnapshot(record.id), config, hostConfig),
    mounts: record.mounts.map((point) => mountOf(point, hostConfig)),
    files: { hosts: record.hostsPath, hostname: record.hostnamePath, resolvConf: record.resolvConfPath },
    namespaces: namespacesOf(choices, (type, fallback) => joined[type] ?? fallback),
    shm: shmOf(context, container, choices),
    hostname: hostnameOf(context, record, choices),
    domainname: config.Domainname,
    devices: resolveDevices(hostConfig),
    blockIO: resolveBlockIo(hostConfig),
    host: context.host,
  }
  return buildSpec(input)
}

export function commandOf({ Entrypoint, Cmd }: ContainerConfig): string[] {
  return [...(Entrypoint ?? []), ...(Cmd ?? [])]
}

/** Whoever shares a network namespace bears the name of its owner, as with Docker. */
function hostnameOf(
  context: EngineContext,
  { config }: ContainerRecord,
  { namespaces }: NamespaceChoices,
): string {
  if (namespaces.uts.kind === 'host') return hostHostname()
  if (config.Hostname === '' && namespaces.net.kind === 'container') {
    return context.containers.get(namespaces.net.id).record.config.Hostname
  }
  return config.Hostname
}

function userOf(snapshot: Snapshot, config: ContainerConfig, { GroupAdd }: HostConfig): SpecInput['user'] {
  const { passwd, group } = readAccountFiles(snapshot)
  const user = resolveUser(config.User, passwd, group)
  return { ...user, groups: [...new Set([...user.groups, ...resolveGroups(GroupAdd, group)])] }
}

function namespacesOf(
  { namespaces }: NamespaceChoices,
  pathOf: (type: NamespaceType, fallback: string) => string,
): SpecInput['namespaces'] {
  const entries = (Object.keys(namespaces) as NamespaceType[]).map((type) => {
    const choice = namespaces[type]
    if (choice.kind === 'own') return [type, 'new']
    if (choice.kind === 'host') return [type, 'host']
    return [type, { path: pathOf(type, choice.kind === 'path' ? choice.path : `/proc/0/ns/${type}`) }]
  })
  return Object.fromEntries(entries) as SpecInput['namespaces']
}

/** The point says what was made, the request how it was wanted; what came by --volumes-from has the usual ways. */
function mountOf(point: MountPoint, host: HostConfig): SpecMount {
  const request = namedRequests(host).find(({ destination }) => destination === point.Destination)
  const usual = { recursive: true, recursiveReadonly: true, tmpfs: [], propagation: 'rprivate' as const }
  return specMount(
    {
      ...(request ?? usual),
      type: point.Type,
      destination: point.Destination,
      readonly: !point.RW,
      subpath: point.subpath ?? '',
      ...(point.Propagation !== '' && { propagation: point.Propagation }),
    },
    point.Source,
  )
}

function specMount(
  request: Pick<
    MountRequest,
    'type' | 'destination' | 'subpath' | 'readonly' | 'recursive' | 'recursiveReadonly' | 'tmpfs'
  > & { propagation: string },
  source: string,
): SpecMount {
  const { type, destination, subpath, readonly, recursive, recursiveReadonly, propagation, tmpfs } = request
  if (type === 'tmpfs') return { type, destination, readonly, options: tmpfs }
  return {
    type: 'bind',
    source,
    subdir: subpath,
    destination,
    readonly,
    recursive,
    recursiveReadonly,
    propagation,
  }
}
