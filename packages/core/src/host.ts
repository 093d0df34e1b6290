/** What this machine can do: gathered once, in a few milliseconds, leaving nothing behind. */
import { readFileSync } from 'node:fs'
import { release } from 'node:os'
import { HoldfastError } from '@holdfast/errors'
import { AT_FDCWD } from './argument.ts'
import { boundingCapabilities } from './capability.ts'
import { closeFd } from './descriptor.ts'
import { F_SEAL_EXEC, memfdCreate, memfdSeals } from './memfd.ts'
import {
  fsconfigCreate,
  fsconfigFd,
  fsopen,
  mountSetattr,
  openTree,
  MOUNT_ATTR_IDMAP,
  OPEN_TREE_CLONE,
} from './mount.ts'
import { createUserNamespace } from './namespace.ts'
import { addon, check } from './native.ts'
import { pidfdInfo } from './pidfd.ts'
import { peerPidfd, socketpair } from './socket.ts'

const native = addon as { endedChildPidfd(): number }

/** One hierarchy of cgroup v1, and where it is mounted. */
export interface CgroupHierarchyMount {
  /** `memory`, `cpu,cpuacct`, `name=systemd`; empty for the v2 tree of a hybrid host. */
  controllers: string[]
  mount: string
}

/** How this machine's cgroups are mounted. A hybrid host is version 1, its v2 tree one of the hierarchies. */
export type CgroupLayout =
  | { version: 2; mount: string; controllers: string[] }
  | { version: 1; hierarchies: CgroupHierarchyMount[] }

/** What can be read, and need not be tried out. */
export interface HostFacts {
  architecture: 'x86_64' | 'aarch64'
  cgroup: CgroupLayout
  /** Numbers of our bounding set. */
  capabilities: number[]
  /** Security modules that are at work. */
  apparmor: boolean
  selinux: boolean
}

/** A superset of what `@holdfast/plan` asks for as its `HostFacts`. */
export interface HostProbe extends HostFacts {
  kernel: { release: string; major: number; minor: number }
  /** overlay takes detached (and, where the file system of / can, idmapped) clones as lowerdir+ descriptors. */
  overlayLowerFd: boolean
  /** User namespaces can be made. */
  userNamespaces: boolean
  timeNamespaces: boolean
  /** F_SEAL_EXEC (Linux 6.3). */
  sealExec: boolean
  /** SO_PEERPIDFD (Linux 6.5). */
  peerPidfd: boolean
  /** PIDFD_INFO_EXIT: how a reaped process ended (Linux 6.15). */
  pidfdInfoExit: boolean
}

let boot: string | undefined

/** random(4), boot_id: a UUID that is another one after each boot. No pid of before means anything then. */
export function bootId(): string {
  return (boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim())
}

let known: HostProbe | undefined
let knownFacts: HostFacts | undefined

/** The facts, gathered at the first call. Needs root. */
export function probeHost(): HostProbe {
  return (known ??= probe())
}

/** The cheap part, for programs that mount no layers: nothing is made for it, at the first call either. */
export function hostFacts(): HostFacts {
  return (knownFacts ??= readFacts())
}

/** Where the hierarchies are mounted in which a process may be, the v2 tree of a hybrid host included. */
export function cgroupMounts(): string[] {
  const { cgroup } = hostFacts()
  return cgroup.version === 2 ? [cgroup.mount] : cgroup.hierarchies.map(({ mount }) => mount)
}

function readFacts(): HostFacts {
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')
  return {
    architecture: process.arch === 'arm64' ? 'aarch64' : 'x86_64',
    cgroup: parseCgroupLayout(mountinfo, readControllers),
    capabilities: boundingCapabilities(),
    apparmor: exists('/sys/module/apparmor/parameters/enabled'),
    selinux: mountinfo.includes(' - selinuxfs '),
  }
}

function probe(): HostProbe {
  const [major = 0, minor = 0] = release().split(/[.-]/).map(Number)
  const userns = tryOpen(() => createUserNamespace({ uid: [rootMap], gid: [rootMap] }))
  try {
    return {
      ...hostFacts(),
      kernel: { release: release(), major, minor },
      overlayLowerFd: overlayTakesDetached(userns),
      userNamespaces: userns !== undefined,
      timeNamespaces: exists('/proc/self/ns/time'),
      sealExec: canSealExec(),
      peerPidfd: hasPeerPidfd(),
      pidfdInfoExit: tellsExitOfReaped(),
    }
  } finally {
    if (userns !== undefined) closeFd(userns)
  }
}

const rootMap = { containerID: 0, hostID: 0, size: 65536 }

/** Whether the file system that `path` lies on can be mounted with mapped ids. */
export function canIdmap(path: string): boolean {
  const userns = createUserNamespace({ uid: [{ ...rootMap, hostID: 1 }], gid: [{ ...rootMap, hostID: 1 }] })
  try {
    const tree = idmappedClone(path, userns)
    if (tree !== undefined) closeFd(tree)
    return tree !== undefined
  } finally {
    closeFd(userns)
  }
}

function idmappedClone(path: string, userns: number): number | undefined {
  const tree = openTree(AT_FDCWD, path, OPEN_TREE_CLONE)
  try {
    mountSetattr(tree, '', 0, { set: MOUNT_ATTR_IDMAP, usernsFd: userns })
    return tree
  } catch {
    closeFd(tree)
    return undefined
  }
}

/** Tried out with two directories that every machine has, and a superblock that is never mounted anywhere. */
function overlayTakesDetached(userns: number | undefined): boolean {
  const fds: number[] = []
  const keep = (fd: number): number => (fds.push(fd), fd)
  try {
    const context = keep(fsopen('overlay'))
    for (const path of ['/usr', '/etc']) {
      const mapped = userns === undefined ? undefined : idmappedClone(path, userns)
      fsconfigFd(context, 'lowerdir+', keep(mapped ?? openTree(AT_FDCWD, path, OPEN_TREE_CLONE)))
    }
    fsconfigCreate(context)
    return true
  } catch {
    return false // any refusal means that this way is not to be had
  } finally {
    fds.forEach(closeFd)
  }
}

function canSealExec(): boolean {
  const fd = memfdCreate('holdfast-probe', undefined, true)
  try {
    return (memfdSeals(fd) & F_SEAL_EXEC) !== 0
  } finally {
    closeFd(fd)
  }
}

function hasPeerPidfd(): boolean {
  const pair = socketpair('stream')
  const pidfd = tryOpen(() => peerPidfd(pair[0]))
  for (const fd of pidfd === undefined ? pair : [...pair, pidfd]) closeFd(fd)
  return pidfd !== undefined
}

function tellsExitOfReaped(): boolean {
  const pidfd = check(native.endedChildPidfd(), 'clone')
  try {
    return pidfdInfo(pidfd)?.exit !== undefined
  } finally {
    closeFd(pidfd)
  }
}

function tryOpen(open: () => number): number | undefined {
  try {
    return open()
  } catch {
    return undefined // what the probe is there to find out
  }
}

function exists(path: string): boolean {
  try {
    readFileSync(path, { flag: 'r' })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

function readControllers(mount: string): string[] {
  return readFileSync(`${mount}/cgroup.controllers`, 'utf8').split(/\s+/).filter(Boolean)
}

/** Reads /proc/PID/mountinfo, proc_pid_mountinfo(5). Where memory and pids lie in v1 hierarchies, it is a v1 host. */
export function parseCgroupLayout(
  mountinfo: string,
  controllersOf: (mount: string) => string[],
): CgroupLayout {
  let hierarchies: CgroupHierarchyMount[] = []
  let unified: string | undefined
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ')
    if (before === undefined || after === undefined) continue
    const [type, , superOptions = ''] = after.split(' ')
    const [, , , , rawMount = ''] = before.split(' ')
    const mount = rawMount.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    // Listed in the order of mounting: what comes later at or above a mount point hides what is there.
    hierarchies = hierarchies.filter((earlier) => !hides(mount, earlier.mount))
    if (unified !== undefined && hides(mount, unified)) unified = undefined
    if (type === 'cgroup2') unified ??= mount
    if (type !== 'cgroup') continue
    const controllers = superOptions.split(',').filter((option) => !notControllers.test(option))
    // The same hierarchy may be mounted twice; the first is where everybody looks.
    if (!hierarchies.some((other) => other.controllers.join() === controllers.join()))
      hierarchies.push({ controllers, mount })
  }
  const controllers = unified === undefined ? [] : controllersOf(unified)
  // A lone v1 hierarchy beside a v2 tree with the controllers in it (net_cls for a VPN, say) makes no v1 host.
  const isUnified = hierarchies.length === 0 || controllers.includes('memory') || controllers.includes('pids')
  if (unified !== undefined && isUnified) return { version: 2, mount: unified, controllers }
  if (hierarchies.length > 0) {
    if (unified !== undefined) hierarchies.push({ controllers: [], mount: unified })
    return { version: 1, hierarchies }
  }
  throw new HoldfastError('HF_UNSUPPORTED', 'no cgroup hierarchy is mounted', {
    hint: 'mount -t cgroup2 none /sys/fs/cgroup',
  })
}

function hides(later: string, earlier: string): boolean {
  return later !== '/' && (earlier === later || earlier.startsWith(`${later}/`))
}

const notControllers =
  /^(rw|ro|xattr|clone_children|cpuset_v2_mode|noprefix|release_agent=.*|favordynmods|nofavordynmods|nsdelegate|memory_recursiveprot)$/
