/** From the host's file tree to the container's: staging, entering, and leaving the old root behind. */
import { hostId } from '../id-maps.ts'
import { namespaceFd } from '../namespaces.ts'
import { fromBundle, isBeneath, normalize } from '../paths.ts'
import { uncovered, type MountSteps } from './mount-steps.ts'
import type { DeviceSteps } from './devices.ts'
import type { Container } from '../container.ts'
import type { Propagation, Step } from '../step.ts'

/** Stage one: a mount namespace of our own with everything in it that the container may not mount itself. */
export function stageRootfs(container: Container, mounts: MountSteps, devices: DeviceSteps): Step[] {
  return [
    { do: 'unshare', namespaces: ['mnt'] },
    ...mounts.peers, // clones of the host's mounts, before they stop being peers
    // Or our mounts would show up on the host. A slave still hears of the host's unmounts, so nothing stays busy here.
    {
      do: 'set-propagation',
      path: '/',
      propagation: wantsPrivate(container) ? 'private' : 'slave',
      recursive: true,
    },
    { do: 'stage-area', path: container.options.stage },
    stageRoot(container),
    ...devices.staged,
  ]
}

/** Mounts staged once the foreign namespaces are joined: file systems may show what those contain. */
export function stageMounts(container: Container, mounts: MountSteps): Step[] {
  return [...mounts.staged, ...(readonlyEarly(container, mounts) ? [stageReadonly(container, mounts)] : [])]
}

function stageRoot({ config, options, confined }: Container): Step {
  const { rootfs } = options
  if (!rootfs) {
    return {
      do: 'stage-bind',
      as: 'rootfs',
      source: fromBundle(options.bundle, config.root!.path),
      recursive: true,
      attributes: { set: {}, clear: [] },
      expect: 'directory',
      field: 'root.path',
    }
  }
  return {
    do: 'stage-overlay',
    as: 'rootfs',
    lower: rootfs.lower,
    upper: rootfs.upper,
    work: rootfs.work,
    ...(rootfs.idmap && confined && { idmap: 'userns' }),
    method: options.host.overlayLowerFd ? 'fd' : 'path',
    attributes: {},
    options: [],
  }
}

/**
 * Inside a user namespace a mount that was read-only before stays so whatever the container's capabilities; made
 * read-only in there, CAP_SYS_ADMIN undoes it. It takes a /dev of its own, or nodes could no longer be made.
 */
function readonlyEarly({ config, confined }: Container, { targets }: MountSteps): boolean {
  return confined && config.root?.readonly === true && targets.some((target) => target.path === '/dev')
}

function stageReadonly({ config }: Container, { targets }: MountSteps): Step {
  const { uidMappings, gidMappings } = config.linux ?? {}
  const cwd = normalize(config.process?.cwd ?? '/')
  const needed = uncovered(targets)
  const covered = cwd === '/' || targets.some(({ path }) => path === cwd || isBeneath(cwd, path))
  return {
    do: 'stage-readonly',
    staged: 'rootfs',
    uid: hostId(uidMappings, 0),
    gid: hostId(gidMappings, 0),
    mountPoints: [
      ...needed.map(({ path, kind, source }) => ({ path, kind, ...(source && { source }) })),
      ...(covered ? [] : [{ path: cwd, kind: 'directory' as const }]),
    ],
  }
}

/**
 * Hooks that run before the pivot are written for runtimes that have the container's mounts at the root's own path:
 * what one mounts there must show up inside. Else the stage area will do, which the container's root can always reach.
 */
export function enterRoot(container: Container): Step {
  const { config, options } = container
  const { prestart = [], createRuntime = [], createContainer = [] } = config.hooks ?? {}
  const path = rootPath(container)
  const seen = !options.rootfs && path !== '/' && [prestart, createRuntime, createContainer].flat().length > 0
  return { do: 'enter-root', staged: 'rootfs', ...(seen && { at: path }) }
}

/** The root becomes `/`, and what was to stay writable while mounts and nodes were made turns read-only. */
export function leaveOldRoot(container: Container, mounts: MountSteps): Step[] {
  const { config, options } = container
  const propagation = rootfsPropagation(container)
  const readonly = config.root?.readonly === true && !readonlyEarly(container, mounts)
  const cwd = normalize(config.process?.cwd ?? '/')
  return [
    container.namespaces.planted
      ? { do: 'plant-root', namespace: namespaceFd('mnt'), at: rootPath(container) }
      : { do: 'pivot', method: options.pivot },
    ...(readonly && cwd !== '/' ? [{ do: 'mkdir' as const, path: cwd, mode: 0o755 }] : []), // while it can be made
    ...mounts.late,
    ...(readonly || propagation
      ? [
          {
            do: 'root-attributes' as const,
            set: readonly ? { readonly } : {},
            ...(propagation && { propagation }),
          },
        ]
      : []),
  ]
}

/** On the host. */
export function rootPath({ config, options }: Container): string {
  return normalize(fromBundle(options.bundle, config.root!.path))
}

function wantsPrivate(container: Container): boolean {
  return rootfsPropagation(container)?.value === 'private'
}

function rootfsPropagation({ config }: Container): { value: Propagation; recursive: boolean } | undefined {
  const option = config.linux?.rootfsPropagation
  if (!option) return undefined
  const recursive = option.startsWith('r')
  return { value: (recursive ? option.slice(1) : option) as Propagation, recursive }
}
