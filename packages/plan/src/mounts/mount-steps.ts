/** Where a mount's steps go, and who mounts a new file system: the container's init, or stage one on its behalf. */
import { isBeneath } from '../paths.ts'
import type { Container } from '../container.ts'
import type { MountAttributes, NamespaceType, Step } from '../step.ts'

export interface MountSteps {
  /** Clones that stay peers of the host's mounts: before the mount namespace turns away from the host's. */
  peers: Step[]
  /** In stage one, with the host's rights. */
  staged: Step[]
  /** In the init, in the configuration's order. */
  attached: Step[]
  /** When nothing more is made inside: what turns read-only last. */
  late: Step[]
  /** Where each one lies, normalized, in order. */
  targets: { path: string; kind: 'directory' | 'source'; source?: string; bind: boolean }[]
}

export function emptyMountSteps(): MountSteps {
  return { peers: [], staged: [], attached: [], late: [], targets: [] }
}

/** A file system to be mounted by whoever has the right to. */
export interface NewFilesystem {
  type: string
  source: string
  target: string
  attributes: MountAttributes
  options: [key: string, value?: string][]
  propagation?: { value: 'private' | 'shared' | 'slave' | 'unbindable'; recursive: boolean }
  copyUp?: boolean
  keepMode?: boolean
}

/** Whose user namespace decides over a mount of this type (the kernel's s_user_ns of each). */
const ownerOf: Record<string, NamespaceType> = {
  proc: 'pid',
  sysfs: 'net',
  mqueue: 'ipc',
  cgroup: 'cgroup',
  cgroup2: 'cgroup',
}

/** File systems with FS_USERNS_MOUNT that belong to no other namespace. */
const mountableInside = new Set(['tmpfs', 'ramfs', 'devpts', 'overlay', 'fuse', 'bpf', 'binfmt_misc'])

/** The init mounts it, unless it may not: then stage one does, in the namespaces joined by then, and the init attaches. */
export function addFilesystem(
  container: Container,
  as: string,
  steps: MountSteps,
  mount: NewFilesystem,
): void {
  if (!container.confined || mayMountInside(container, mount.type)) {
    steps.attached.push({ do: 'mount', ...mount })
    return
  }
  const { type, source, target, attributes, options, propagation } = mount
  steps.staged.push({ do: 'stage-mount', as, type, source, attributes, options })
  steps.attached.push({
    do: 'attach',
    staged: as,
    target,
    kind: 'directory',
    ...(propagation && { propagation }),
  })
}

/**
 * From inside a user namespace the kernel mounts proc, sysfs, … only for namespaces that this one owns. Procfs shows
 * the pid namespace that its mounter lives in, which stage one never does: where the container's pid namespace is
 * another's, the container mounts it, in the user namespace that it joined with it.
 */
function mayMountInside({ namespaces: { origin } }: Container, type: string): boolean {
  const owner = ownerOf[type]
  if (!owner) return mountableInside.has(type.replace(/\..*$/, ''))
  return origin[owner] === 'new' || (type === 'proc' && origin.pid === 'joined')
}

/** Mount points that must exist in the root itself: those that no earlier mount covers. */
export function uncovered(targets: MountSteps['targets']): MountSteps['targets'] {
  return targets.filter(
    (target, index) => !targets.some((other, at) => at < index && isBeneath(target.path, other.path)),
  )
}
