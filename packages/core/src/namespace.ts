/**
 * Namespaces: setns(2), unshare(2), ioctl_nsfs(2), and namespaces that no process is in.
 *
 * A namespace descriptor keeps its namespace alive. All descriptors are close-on-exec.
 */
import { HoldfastError } from '@holdfast/errors'
import { checkFd, checkInteger, checkPath, bad } from './argument.ts'
import { closeFd } from './descriptor.ts'
import { fstat } from './file.ts'
import { moveMount, openTree, OPEN_TREE_CLONE } from './mount.ts'
import { addon, check, errnoName } from './native.ts'
import { AT_EMPTY_PATH, AT_FDCWD, O_NONBLOCK, O_PATH, O_RDONLY, openat2 } from './path.ts'
import { pidfdOpen, pidfdSendSignal, pidOfPidfd } from './pidfd.ts'

const native = addon as {
  setns(fd: number, flags: number): number
  unshare(flags: number): number
  namespaceType(fd: number): number
  namespaceOwner(fd: number): number
  namespaceParent(fd: number): number
  namespaceOwnerUid(fd: number): number
  namespaceOfPidfd(pidfd: number, request: number): number
  createUserNamespace(uidMap: string, gidMap: string): number
  createNamespace(flag: number, usernsFd: number, procPath: string): number
}

/** As the files in /proc/PID/ns are named. */
export type NamespaceType = 'cgroup' | 'ipc' | 'mnt' | 'net' | 'pid' | 'time' | 'user' | 'uts'

/** CLONE_NEW… of each type. */
export const namespaceFlags: Readonly<Record<NamespaceType, number>> = {
  cgroup: 0x0200_0000,
  ipc: 0x0800_0000,
  mnt: 0x0002_0000,
  net: 0x4000_0000,
  pid: 0x2000_0000,
  time: 0x0000_0080,
  user: 0x1000_0000,
  uts: 0x0400_0000,
}

/** The `request` numbers of PIDFD_GET_…_NAMESPACE (Linux 6.11). */
const pidfdRequests: Readonly<Record<NamespaceType, number>> = {
  cgroup: 1,
  ipc: 2,
  mnt: 3,
  net: 4,
  pid: 5,
  time: 7,
  user: 9,
  uts: 10,
}

/** One line of /proc/PID/uid_map. */
export interface IdMapping {
  containerID: number
  hostID: number
  size: number
}

/**
 * setns(2) of the *calling thread*. Dangerous in Node: the other threads (which do file I/O) stay behind, and a mount
 * or user namespace is refused with EINVAL since Node has several threads. `type` 0 takes any.
 */
export function setns(fd: number, type: NamespaceType | 0): void {
  check(native.setns(checkFd(fd), type === 0 ? 0 : namespaceFlags[type]), 'setns', { hints: setnsHints })
}

const setnsHints = {
  EINVAL: 'The descriptor is no namespace of this type, or this process has threads and may not enter it.',
  EPERM: 'CAP_SYS_ADMIN is needed in the user namespace that owns it, and in our own.',
}

/**
 * unshare(2) of the *calling thread*. As dangerous in Node as `setns`; after `unshare(['pid'])` no thread can be
 * made any more, and Node aborts at its next file operation.
 */
export function unshare(types: readonly NamespaceType[]): void {
  check(native.unshare(types.reduce((flags, type) => flags | namespaceFlags[type], 0)), 'unshare')
}

/**
 * The namespace of a running process. It is pinned by a pidfd while its namespace is opened, so the descriptor
 * is of the process that had this pid at the time of the call, never of a later one.
 */
export function openNamespaceOf(pid: number, type: NamespaceType): number {
  const pidfd = pidfdOpen(pid)
  try {
    return openNamespaceOfPidfd(pidfd, type, pid)
  } finally {
    closeFd(pidfd)
  }
}

/** The namespace of the process behind a pidfd. `pid`, where it is known, saves older kernels a look-up. */
export function openNamespaceOfPidfd(pidfd: number, type: NamespaceType, pid?: number): number {
  const fd = native.namespaceOfPidfd(checkFd(pidfd), pidfdRequests[type])
  if (fd >= 0) return fd
  if (!['ENOTTY', 'EINVAL'].includes(errnoName(-fd))) return check(fd, 'ioctl(PIDFD_GET_NAMESPACE)')
  return openNamespaceByProc(pidfd, type, pid ?? pidOfPidfd(pidfd))
}

/** What `openNamespaceOfPidfd` does before Linux 6.11: by /proc, with the pidfd as proof that it was the same process. */
export function openNamespaceByProc(pidfd: number, type: NamespaceType, pid: number): number {
  const opened = openNamespace(`/proc/${pid}/ns/${type}`)
  try {
    pidfdSendSignal(pidfd, 0) // still there: the pid was not reused while its link was opened
  } catch (error) {
    closeFd(opened)
    throw error
  }
  return opened
}

/** The namespace at a path, such as a bind mount made by `bindNamespace`. Anything else is refused. */
export function openNamespace(path: string): number {
  // Non-blocking: were it a FIFO, a plain open would wait for a writer for ever.
  const fd = openat2(AT_FDCWD, path, { flags: O_RDONLY | O_NONBLOCK })
  if (native.namespaceType(fd) >= 0) return fd
  closeFd(fd)
  throw new HoldfastError('HF_NAMESPACE_NOT_FOUND', `${path} is not a namespace`, {
    hint: 'A namespace is a file such as /proc/PID/ns/net or what a named namespace is mounted on.',
    details: { path },
  })
}

/** ioctl_nsfs(2), NS_GET_NSTYPE. Throws HF_UNSUPPORTED for a type that is newer than this package. */
export function namespaceType(fd: number): NamespaceType {
  const flag = check(native.namespaceType(checkFd(fd)), 'ioctl(NS_GET_NSTYPE)')
  for (const type of Object.keys(namespaceFlags) as NamespaceType[])
    if (namespaceFlags[type] === flag) return type
  throw new HoldfastError('HF_UNSUPPORTED', `namespace type 0x${flag.toString(16)} is not known`)
}

/** The number in `net:[4026531840]`: a namespace's identity while something holds it. */
export function namespaceInode(fd: number): number {
  return Number(fstat(fd).ino)
}

/** The owning user namespace, as a new descriptor. EPERM: it lies outside the caller's own. */
export function namespaceOwner(fd: number): number {
  return check(native.namespaceOwner(checkFd(fd)), 'ioctl(NS_GET_USERNS)')
}

/** The parent of a user or pid namespace, as a new descriptor. EPERM: it lies outside the caller's own. */
export function namespaceParent(fd: number): number {
  return check(native.namespaceParent(checkFd(fd)), 'ioctl(NS_GET_PARENT)')
}

/** The uid, in the caller's user namespace, of who made this user namespace. */
export function namespaceOwnerUid(fd: number): number {
  return check(native.namespaceOwnerUid(checkFd(fd)), 'ioctl(NS_GET_OWNER_UID)')
}

/** A new user namespace with these maps (each of 1 to 340 lines) and no process in it; about 0.1 ms. */
export function createUserNamespace(maps: { uid: readonly IdMapping[]; gid: readonly IdMapping[] }): number {
  const uid = idMapText(maps.uid, 'uid')
  const gid = idMapText(maps.gid, 'gid')
  return check(native.createUserNamespace(uid, gid), 'clone(CLONE_NEWUSER)', { hints: usernsHints })
}

/** What to do where a user namespace can't be made, by errno. */
export const usernsHints = {
  ENOSPC: 'No more user namespaces may be made: raise the sysctl user.max_user_namespaces.',
  EUSERS: 'User namespaces are nested more than 32 deep.',
  EPERM:
    'User namespaces may be switched off: see kernel.unprivileged_userns_clone and user.max_user_namespaces.',
  EINVAL: 'The id maps overlap, or map an id that does not exist outside.',
}

/** The text of an id map as /proc/PID/uid_map takes it. */
export function idMapText(map: readonly IdMapping[], name: string): string {
  if (map.length < 1 || map.length > 340)
    throw bad(`${name} map`, `must have 1 to 340 lines, not ${map.length}`)
  return map
    .map(({ containerID, hostID, size }) => {
      checkInteger(size, `${name}.size`, 1, 0xffff_ffff)
      checkInteger(containerID, `${name}.containerID`, 0, 0xffff_ffff - size)
      checkInteger(hostID, `${name}.hostID`, 0, 0xffff_ffff - size)
      return `${containerID} ${hostID} ${size}\n`
    })
    .join('')
}

/**
 * A new namespace with no process in it, owned by `userns` (default: the caller's). It lasts while the descriptor,
 * a process or a mount (`bindNamespace`) holds it. A time namespace's offsets are all zero.
 */
export function createNamespace(type: NamespaceType, userns?: number): number {
  if (type === 'pid') {
    throw new HoldfastError('HF_UNSUPPORTED', 'a pid namespace cannot be held once its init is gone', {
      hint: 'Share the pid namespace of a running container instead.',
    })
  }
  if (type === 'user') throw bad('type', "'user' needs id maps: call createUserNamespace")
  const proc = `/proc/thread-self/ns/${type === 'time' ? 'time_for_children' : type}`
  const result = native.createNamespace(
    namespaceFlags[type],
    userns === undefined ? -1 : checkFd(userns),
    proc,
  )
  return check(result, 'unshare', { path: type })
}

/** Mounts the namespace on the existing file `path`, which keeps it alive; `umount(path)` lets it go. */
export function bindNamespace(fd: number, path: string): void {
  const target = openat2(AT_FDCWD, checkPath(path), { flags: O_PATH })
  let tree = -1
  try {
    tree = openTree(checkFd(fd), '', OPEN_TREE_CLONE | AT_EMPTY_PATH)
    moveMount(tree, target, path)
  } finally {
    if (tree >= 0) closeFd(tree)
    closeFd(target)
  }
}
