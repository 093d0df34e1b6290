/**
 * Mounts by descriptor: open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), mount_setattr(2).
 * Linux 5.12 and later; CAP_SYS_ADMIN. mount(2), which takes a path for its target, is deliberately missing.
 */
import { checkDirfd, checkFd, checkInteger, checkPath, bad, type Path } from './argument.ts'
import { addon, check, syscallError } from './native.ts'
import { AT_EMPTY_PATH, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW } from './path.ts'

const native = addon as {
  openTree(dirfd: number, path: Path, flags: number): number
  moveMount(fromFd: number, fromPath: Path, toFd: number, toPath: Path, flags: number): number
  fsopen(type: string, flags: number): number
  fsconfig(fd: number, command: number, key: string | null, value: Path | null, aux: number): number
  fsmount(fd: number, flags: number, attributes: number): number
  fspick(dirfd: number, path: Path, flags: number): number
  readMessage(fd: number): string | number
  mountSetattr(
    fd: number,
    path: Path,
    flags: number,
    set: number,
    clear: number,
    propagation: number,
    usernsFd: number,
  ): number
  umount(path: Path, flags: number): number
}

/** open_tree(2). */
export const OPEN_TREE_CLONE = 1
export const OPEN_TREE_CLOEXEC = 0o2000000

/** move_mount(2): F of the source, T of the target. */
export const MOVE_MOUNT_F_SYMLINKS = 0x01
export const MOVE_MOUNT_F_EMPTY_PATH = 0x04
export const MOVE_MOUNT_T_SYMLINKS = 0x10
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40
export const MOVE_MOUNT_BENEATH = 0x200

/** mount_setattr(2). */
export const MOUNT_ATTR_RDONLY = 0x01
export const MOUNT_ATTR_NOSUID = 0x02
export const MOUNT_ATTR_NODEV = 0x04
export const MOUNT_ATTR_NOEXEC = 0x08
/** A mask: to set one of the three atime values, clear this. */
export const MOUNT_ATTR__ATIME = 0x70
export const MOUNT_ATTR_RELATIME = 0x00
export const MOUNT_ATTR_NOATIME = 0x10
export const MOUNT_ATTR_STRICTATIME = 0x20
export const MOUNT_ATTR_NODIRATIME = 0x80
export const MOUNT_ATTR_IDMAP = 0x10_0000
export const MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000

/** mount_namespaces(7): the propagation of a mount. */
export const MS_UNBINDABLE = 1 << 17
export const MS_PRIVATE = 1 << 18
export const MS_SLAVE = 1 << 19
export const MS_SHARED = 1 << 20

/** umount2(2). */
export const MNT_FORCE = 1
export const MNT_DETACH = 2
export const MNT_EXPIRE = 4
export const UMOUNT_NOFOLLOW = 8

const FSCONFIG = {
  flag: 0,
  string: 1,
  binary: 2,
  path: 3,
  pathEmpty: 4,
  fd: 5,
  create: 6,
  reconfigure: 7,
} as const

/** A descriptor of the mount at a path, or with OPEN_TREE_CLONE of a detached copy of it (AT_RECURSIVE: all below). */
export function openTree(dirfd: number, path: Path, flags = 0): number {
  checkInteger(flags, 'flags', 0, 0x7fff_ffff)
  const result = native.openTree(checkDirfd(dirfd), checkPath(path), flags | OPEN_TREE_CLOEXEC)
  return check(result, 'open_tree', { path })
}

/** Attaches the mount `mountFd` onto `targetFd`. Neither is a path, so nothing can be renamed under it. */
export function moveMount(mountFd: number, targetFd: number, shownTarget?: string, flags = 0): void {
  const both = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
  const result = native.moveMount(
    checkFd(mountFd, 'mountFd'),
    '',
    checkFd(targetFd, 'targetFd'),
    '',
    both | flags,
  )
  check(result, 'move_mount', { path: shownTarget, hints: moveHints })
}

const moveHints = {
  EINVAL: 'The target was opened in another mount namespace, or is not of the same kind (file, directory).',
}

/** fsopen(2): a context in which a file system of this type is configured. The descriptor is the caller's. */
export function fsopen(type: string): number {
  const result = native.fsopen(checkPath(type, 'type'), 1 /* FSOPEN_CLOEXEC */)
  return check(result, 'fsopen', {
    path: type,
    hints: { ENODEV: `This kernel does not know the file system ${type}.` },
  })
}

/** A context to change the options of the superblock mounted at `path`. */
export function fspick(dirfd: number, path: Path): number {
  const flags = 1 /* CLOEXEC */ | 2 /* SYMLINK_NOFOLLOW */ | (path.length === 0 ? 8 /* EMPTY_PATH */ : 0)
  return check(native.fspick(checkDirfd(dirfd), checkPath(path), flags), 'fspick', { path })
}

/** fsconfig(2) of an option without a value, `ro` or `nosuid`. */
export function fsconfigFlag(fd: number, key: string): void {
  fsconfig(fd, FSCONFIG.flag, key, null, 0)
}

/** fsconfig(2) of an option with a text, `size=64m`. */
export function fsconfigString(fd: number, key: string, value: Path): void {
  fsconfig(fd, FSCONFIG.string, key, checkPath(value, key), 0)
}

/** fsconfig(2) of an option that is a descriptor, overlay's `lowerdir+`; it stays the caller's. */
export function fsconfigFd(fd: number, key: string, value: number): void {
  fsconfig(fd, FSCONFIG.fd, key, null, checkFd(value, key))
}

/** Makes the superblock. */
export function fsconfigCreate(fd: number): void {
  fsconfig(fd, FSCONFIG.create, null, null, 0)
}

/** Gives a mounted superblock (from `fspick`) the options that were set. */
export function fsconfigReconfigure(fd: number): void {
  fsconfig(fd, FSCONFIG.reconfigure, null, null, 0)
}

function fsconfig(fd: number, command: number, key: string | null, value: Path | null, aux: number): void {
  if (key !== null) checkPath(key, 'key')
  const result = native.fsconfig(checkFd(fd), command, key, value, aux)
  if (result >= 0) return
  // The kernel says in words what it does not like, if the context is asked.
  throw syscallError(-result, 'fsconfig', {
    path: key ?? undefined,
    hint: fsMessages(fd).join('; ') || undefined,
  })
}

/** What the kernel has to say about a context from `fsopen`: lines such as `e overlay: No changes allowed …`. */
export function fsMessages(fd: number): string[] {
  const messages: string[] = []
  for (
    let message = native.readMessage(checkFd(fd));
    typeof message === 'string';
    message = native.readMessage(fd)
  ) {
    messages.push(message.trim())
  }
  return messages
}

/** A detached mount of the superblock; `attributes`: MOUNT_ATTR_…. */
export function fsmount(fd: number, attributes = 0): number {
  checkInteger(attributes, 'attributes', 0, 0x7fff_ffff)
  return check(native.fsmount(checkFd(fd), 1 /* FSMOUNT_CLOEXEC */, attributes), 'fsmount')
}

/** mount_setattr(2), `struct mount_attr`. */
export interface MountAttributeChange {
  /** MOUNT_ATTR_… to set and to clear. */
  set?: number
  clear?: number
  /** MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE. */
  propagation?: number
  /** With MOUNT_ATTR_IDMAP in `set`: the user namespace whose maps shall hold. */
  usernsFd?: number
}

/** mount_setattr(2). `flags`: AT_RECURSIVE, AT_SYMLINK_NOFOLLOW; AT_EMPTY_PATH is added where `path` is empty. */
export function mountSetattr(fd: number, path: Path, flags: number, change: MountAttributeChange): void {
  const { set = 0, clear = 0, propagation = 0, usernsFd } = change
  checkInteger(set, 'set', 0, 0x7fff_ffff)
  checkInteger(clear, 'clear', 0, 0x7fff_ffff)
  if (![0, MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE].includes(propagation))
    throw bad('propagation', 'is unknown')
  if (((set & MOUNT_ATTR_IDMAP) !== 0) !== (usernsFd !== undefined)) {
    throw bad('usernsFd', 'and MOUNT_ATTR_IDMAP go together')
  }
  if ((flags & ~(AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0)
    throw bad('flags', 'has unknown bits')
  const all = flags | (path.length === 0 ? AT_EMPTY_PATH : 0)
  const userns = usernsFd === undefined ? 0 : checkFd(usernsFd, 'usernsFd')
  const result = native.mountSetattr(checkDirfd(fd), checkPath(path), all, set, clear, propagation, userns)
  check(result, 'mount_setattr', { path, hints: usernsFd === undefined ? undefined : idmapHints })
}

const idmapHints = {
  EINVAL: 'The file system cannot be idmapped, or the mount is already attached or idmapped.',
  EPERM: 'The mount is idmapped already, or the user namespace is the initial one.',
}

/** umount2(2); a symbolic link at the end of `path` is not followed. `flags`: MNT_DETACH, MNT_FORCE. */
export function umount(path: Path, flags = 0): void {
  const all = checkInteger(flags, 'flags', 0, 15) | UMOUNT_NOFOLLOW
  check(native.umount(checkPath(path), all), 'umount2', { path })
}
