/**
 * Which namespaces a container gets: `--network`, `--pid`, `--ipc`, `--uts`, `--userns`, `--cgroupns` and time, each
 * its own, the host's, another container's, a named one, or any by path.
 *
 * Rights over a namespace belong to the user namespace that owns it, so the user namespace follows from the others
 * unless it is asked for: whoever joins a container's namespace joins its user namespace too, and whoever shares net,
 * pid or ipc with the host has the host's.
 */
import { join } from 'node:path'
import { HoldfastError } from '@holdfast/errors'
import type { NamespaceType } from '@holdfast/protocol'
import type { HostConfig } from '../container-config.ts'

type NamespaceChoice =
  | { kind: 'own' }
  | { kind: 'host' }
  | { kind: 'container'; id: string }
  /** `name` for a named one. */
  | { kind: 'path'; path: string; name?: string }

export interface NamespaceChoices {
  namespaces: Record<NamespaceType, NamespaceChoice>
  /** `none`: a network namespace of its own with nothing but lo in it. */
  network: 'bridge' | 'none' | 'host' | 'shared'
  /** `auto:size=N`. */
  userIds: number | undefined
  /** The IPC namespace is its own, but others may not join it; or it has no /dev/shm at all (`none`). */
  ipc: 'private' | 'shareable' | 'none' | 'shared'
}

export interface ModeResolver {
  /** Full id of a container. Throws HF_CONTAINER_NOT_FOUND. */
  findContainer(ref: string): string
  /** Whether the container with this id is in the host's user namespace. */
  hasHostUsers: (id: string) => boolean
  /** The directory of named namespaces. */
  namespaceDirectory: string
  /** The named user namespace that owns the namespace at a path; undefined where it is none. */
  ownerOf: (path: string) => { path: string; name: string } | undefined
}

export function chooseNamespaces(host: HostConfig, resolver: ModeResolver): NamespaceChoices {
  const pick = (mode: string, field: string, type: NamespaceType): NamespaceChoice | undefined =>
    choiceOf(mode, field, type, resolver)
  const { choice: net, network } = networkChoice(host.NetworkMode, (mode) => pick(mode, 'NetworkMode', 'net'))
  const ipc = ['', 'private', 'shareable', 'none'].includes(host.IpcMode)
    ? own
    : required(pick(host.IpcMode, 'IpcMode', 'ipc'), 'IpcMode', host.IpcMode)
  const namespaces: Record<NamespaceType, NamespaceChoice> = {
    mnt: own,
    net,
    ipc,
    pid:
      host.PidMode === '' || host.PidMode === 'private'
        ? own
        : required(pick(host.PidMode, 'PidMode', 'pid'), 'PidMode', host.PidMode),
    uts:
      host.UTSMode === '' || host.UTSMode === 'private'
        ? own
        : required(pick(host.UTSMode, 'UTSMode', 'uts'), 'UTSMode', host.UTSMode),
    cgroup:
      host.CgroupnsMode === '' || host.CgroupnsMode === 'private'
        ? own
        : required(pick(host.CgroupnsMode, 'CgroupnsMode', 'cgroup'), 'CgroupnsMode', host.CgroupnsMode),
    time:
      host.TimeMode === '' || host.TimeMode === 'private'
        ? own
        : required(pick(host.TimeMode, 'TimeMode', 'time'), 'TimeMode', host.TimeMode),
    user: own,
  }
  const size = /^auto:size=(\d{1,9})$/.exec(host.UsernsMode)
  namespaces.user = userChoice(host, namespaces, size !== null, {
    pick: (mode) => pick(mode, 'UsernsMode', 'user'),
    hasHostUsers: (id) => resolver.hasHostUsers(id),
    ownerOf: (path) => resolver.ownerOf(path),
  })
  return {
    namespaces,
    network,
    userIds: size ? Number(size[1]) : undefined,
    ipc:
      ipc.kind !== 'own'
        ? 'shared'
        : host.IpcMode === 'none'
          ? 'none'
          : host.IpcMode === 'shareable'
            ? 'shareable'
            : 'private',
  }
}

const own: NamespaceChoice = { kind: 'own' }

function networkChoice(
  mode: string,
  pick: (mode: string) => NamespaceChoice | undefined,
): { choice: NamespaceChoice; network: NamespaceChoices['network'] } {
  if (mode === '' || mode === 'default' || mode === 'bridge') return { choice: own, network: 'bridge' }
  if (mode === 'none') return { choice: own, network: 'none' }
  const choice = pick(mode)
  if (choice?.kind === 'host') return { choice, network: 'host' }
  if (choice) return { choice, network: 'shared' }
  throw new HoldfastError('HF_NETWORK_NOT_FOUND', `network ${mode} not found`, {
    hint: 'There are bridge, host, none, container:NAME and ns:NAME; networks of your own come in a later version.',
    details: { network: mode },
  })
}

interface UserResolver extends Pick<ModeResolver, 'ownerOf' | 'hasHostUsers'> {
  pick: (mode: string) => NamespaceChoice | undefined
}

function userChoice(
  host: HostConfig,
  namespaces: Record<NamespaceType, NamespaceChoice>,
  sized: boolean,
  { pick, ownerOf, hasHostUsers }: UserResolver,
): NamespaceChoice {
  const mode = host.UsernsMode
  if (sized || mode === 'auto' || mode === 'private') {
    if (host.Privileged) throw conflict("a privileged container has the host's user namespace")
    return own
  }
  if (mode !== '') return joinUsers(required(pick(mode), 'UsernsMode', mode), hasHostUsers)
  if (host.Privileged) return { kind: 'host' }
  const owners = new Set<string>()
  for (const choice of Object.values(namespaces)) if (choice.kind === 'container') owners.add(choice.id)
  if (owners.size > 0) {
    // Whether two containers are in the same user namespace is known only when both run; then start decides.
    return joinUsers({ kind: 'container', id: [...owners][0]! }, hasHostUsers)
  }
  for (const choice of Object.values(namespaces)) {
    const owner = choice.kind === 'path' ? ownerOf(choice.path) : undefined
    if (owner) return { kind: 'path', ...owner }
  }
  const { net, pid, ipc } = namespaces
  return [net, pid, ipc].some(({ kind }) => kind === 'host') ? { kind: 'host' } : own
}

/** Nobody can enter the user namespace that he is in already: setns(2). */
function joinUsers(choice: NamespaceChoice, hasHostUsers: (id: string) => boolean): NamespaceChoice {
  return choice.kind === 'container' && hasHostUsers(choice.id) ? { kind: 'host' } : choice
}

/** undefined where the mode is none of those that every type has. */
function choiceOf(
  mode: string,
  field: string,
  type: NamespaceType,
  resolver: ModeResolver,
): NamespaceChoice | undefined {
  if (mode === 'host') return { kind: 'host' }
  if (mode.startsWith('container:')) {
    const ref = mode.slice('container:'.length)
    if (ref === '') throw invalid(field, mode)
    return { kind: 'container', id: resolver.findContainer(ref) }
  }
  if (mode.startsWith('ns:')) {
    const name = mode.slice('ns:'.length)
    if (name.startsWith('/')) return { kind: 'path', path: checkPath(name, field) }
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) throw invalid(field, mode)
    if (type === 'pid') {
      throw new HoldfastError('HF_UNSUPPORTED', 'a pid namespace cannot be held once its init is gone', {
        hint: 'Share the pid namespace of a running container instead: --pid container:NAME.',
        details: { field: `HostConfig.${field}` },
      })
    }
    return { kind: 'path', path: join(resolver.namespaceDirectory, type, name), name }
  }
  if (mode.startsWith('/')) return { kind: 'path', path: checkPath(mode, field) }
  return undefined
}

function checkPath(path: string, field: string): string {
  if (path.includes('\0')) throw invalid(field, path)
  return path
}

function required(choice: NamespaceChoice | undefined, field: string, mode: string): NamespaceChoice {
  if (choice) return choice
  throw invalid(field, mode)
}

function invalid(field: string, mode: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `invalid ${field}: ${mode}`, {
    hint: 'It is one of private, host, container:NAME, ns:NAME, or an absolute path.',
    details: { field: `HostConfig.${field}`, value: mode },
  })
}

function conflict(message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field: 'HostConfig.UsernsMode' } })
}
