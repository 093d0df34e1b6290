/**
 * Files on directory descriptors: what an unpacker needs to make a tree without ever giving the kernel a path that
 * could lead out of it. Names may be Buffers, for names that are not UTF-8.
 */
import { checkDirfd, checkFd, checkId, checkInteger, checkPath, bad, type Path } from './argument.ts'
import { addon, check } from './native.ts'
import { AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW } from './path.ts'

const native = addon as {
  mkdirat(dirfd: number, path: Path, mode: number): number
  mknodat(dirfd: number, path: Path, mode: number, major: number, minor: number): number
  symlinkat(target: Path, dirfd: number, path: Path): number
  linkat(oldFd: number, oldPath: Path, newFd: number, newPath: Path, flags: number): number
  unlinkat(dirfd: number, path: Path, flags: number): number
  renameat2(oldFd: number, oldPath: Path, newFd: number, newPath: Path, flags: number): number
  readlinkat(dirfd: number, path: Path): Buffer | number
  fstatat(dirfd: number, path: Path, flags: number, out: BigInt64Array): number
  fchmod(fd: number, mode: number): number
  fchmodat(dirfd: number, path: Path, mode: number): number
  fchownat(dirfd: number, path: Path, uid: number, gid: number, flags: number): number
  utimensat(dirfd: number, path: Path, atimeNs: bigint, mtimeNs: bigint, flags: number): number
  readdir(fd: number): Buffer[] | number
  ftruncate(fd: number, length: number): number
  fsync(fd: number, dataOnly: number): number
}

/** What stat(2) says of a file. */
export interface FileStat {
  /** Type and permissions, as `st_mode`. */
  mode: number
  uid: number
  gid: number
  /** The device that a device node stands for. */
  rdev: { major: number; minor: number }
  size: number
  nlink: number
  /** Exact: inode numbers may use all 64 bits. */
  ino: bigint
  dev: bigint
  mtimeNs: bigint
}

/** inode(7): the type in `st_mode`, and its values. */
export const S_IFMT = 0o170000
export const S_IFSOCK = 0o140000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o060000
export const S_IFDIR = 0o040000
export const S_IFCHR = 0o020000
export const S_IFIFO = 0o010000

/** renameat2(2). */
export const RENAME_NOREPLACE = 1
export const RENAME_EXCHANGE = 2
export const RENAME_WHITEOUT = 4

const MODE_MAX = 0o177777

/** The umask applies, and setuid and setgid bits are ignored: `fchmodat` afterwards makes the mode exact. */
export function mkdirat(dirfd: number, path: Path, mode: number): void {
  const result = native.mkdirat(checkDirfd(dirfd), checkPath(path), checkInteger(mode, 'mode', 0, 0o7777))
  check(result, 'mkdirat', { path })
}

/** `mode` with its type bits (S_IFCHR, S_IFBLK, S_IFIFO, S_IFREG, S_IFSOCK). */
export function mknodat(dirfd: number, path: Path, mode: number, major = 0, minor = 0): void {
  checkInteger(mode, 'mode', 0, MODE_MAX)
  checkInteger(major, 'major', 0, 0xfff) // the kernel keeps 12 bits of the major and 20 of the minor
  checkInteger(minor, 'minor', 0, 0xf_ffff)
  check(native.mknodat(checkDirfd(dirfd), checkPath(path), mode, major, minor), 'mknodat', { path })
}

/** symlinkat(2): the entry `path` of `dirfd` becomes a link whose text is `target`. */
export function symlinkat(target: Path, dirfd: number, path: Path): void {
  const result = native.symlinkat(checkPath(target, 'target'), checkDirfd(dirfd), checkPath(path))
  check(result, 'symlinkat', { path: target, dest: path })
}

/**
 * linkat(2). The source is not followed where it is a symbolic link, unless `flags` has AT_SYMLINK_FOLLOW; with
 * AT_EMPTY_PATH and an empty `oldPath` it is the file behind `oldFd` itself.
 */
export function linkat(oldFd: number, oldPath: Path, newFd: number, newPath: Path, flags = 0): void {
  checkPath(oldPath, 'oldPath')
  checkPath(newPath, 'newPath')
  checkFlags(flags, AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)
  const result = native.linkat(checkDirfd(oldFd), oldPath, checkDirfd(newFd), newPath, flags)
  check(result, 'linkat', { path: oldPath, dest: newPath })
}

/** unlinkat(2); `flags`: AT_REMOVEDIR for a directory. */
export function unlinkat(dirfd: number, path: Path, flags = 0): void {
  check(native.unlinkat(checkDirfd(dirfd), checkPath(path), checkFlags(flags, 0x200)), 'unlinkat', { path })
}

/** renameat2(2); `flags`: RENAME_…. */
export function renameat2(oldFd: number, oldPath: Path, newFd: number, newPath: Path, flags = 0): void {
  checkPath(oldPath, 'oldPath')
  checkPath(newPath, 'newPath')
  const result = native.renameat2(
    checkDirfd(oldFd),
    oldPath,
    checkDirfd(newFd),
    newPath,
    checkFlags(flags, 7),
  )
  check(result, 'renameat2', { path: oldPath, dest: newPath })
}

/** The link's bytes. An empty `path` reads the link that an O_PATH descriptor stands for. */
export function readlinkat(dirfd: number, path: Path): Buffer {
  const result = native.readlinkat(checkDirfd(dirfd), checkPath(path))
  if (typeof result === 'number') check(result, 'readlinkat', { path })
  return result as Buffer
}

const statFields = new BigInt64Array(10)

/** Never follows a symbolic link at the end of `path`. */
export function fstatat(dirfd: number, path: Path): FileStat {
  return stat(checkDirfd(dirfd), checkPath(path), AT_SYMLINK_NOFOLLOW)
}

/** fstat(2), of O_PATH descriptors too. */
export function fstat(fd: number): FileStat {
  return stat(checkFd(fd), '', AT_EMPTY_PATH)
}

function stat(dirfd: number, path: Path, flags: number): FileStat {
  check(native.fstatat(dirfd, path, flags, statFields), 'fstatat', { path })
  return {
    mode: Number(statFields[0]!),
    uid: Number(statFields[1]!),
    gid: Number(statFields[2]!),
    rdev: { major: Number(statFields[3]!), minor: Number(statFields[4]!) },
    size: Number(statFields[5]!),
    nlink: Number(statFields[6]!),
    ino: BigInt.asUintN(64, statFields[7]!),
    dev: BigInt.asUintN(64, statFields[8]!),
    mtimeNs: statFields[9]!,
  }
}

/** fchmod(2); not for O_PATH descriptors (EBADF), for which `fchmodat` with an empty path is. */
export function fchmod(fd: number, mode: number): void {
  check(native.fchmod(checkFd(fd), checkInteger(mode, 'mode', 0, 0o7777)), 'fchmod')
}

/** Permissions of an entry, never through a symbolic link (ENOTSUP then). Works on O_PATH descriptors with ''. */
export function fchmodat(dirfd: number, path: Path, mode: number): void {
  const result = native.fchmodat(checkDirfd(dirfd), checkPath(path), checkInteger(mode, 'mode', 0, 0o7777))
  check(result, 'fchmodat2', { path })
}

/** Owner of an entry, never through a symbolic link. An empty `path` means the file behind `dirfd` itself. */
export function fchownat(dirfd: number, path: Path, uid: number, gid: number): void {
  checkId(uid, 'uid')
  checkId(gid, 'gid')
  const flags = AT_SYMLINK_NOFOLLOW | (path.length === 0 ? AT_EMPTY_PATH : 0)
  check(native.fchownat(checkDirfd(dirfd), checkPath(path), uid, gid, flags), 'fchownat', { path })
}

/** Times in nanoseconds since 1970, never through a symbolic link. An empty `path`: `dirfd` itself. */
export function utimensat(dirfd: number, path: Path, times: { atimeNs: bigint; mtimeNs: bigint }): void {
  const flags = AT_SYMLINK_NOFOLLOW | (path.length === 0 ? AT_EMPTY_PATH : 0)
  const { atimeNs, mtimeNs } = times
  for (const [name, time] of Object.entries({ atimeNs, mtimeNs })) {
    if (time !== BigInt.asIntN(64, time)) throw bad(name, 'does not fit in 64 bits')
  }
  check(native.utimensat(checkDirfd(dirfd), checkPath(path), atimeNs, mtimeNs, flags), 'utimensat', { path })
}

/** The names in a directory, as bytes, without `.` and `..`. Reads from the start, wherever `fd` stood. */
export function readdir(fd: number): Buffer[] {
  const result = native.readdir(checkFd(fd))
  if (typeof result === 'number') check(result, 'getdents64')
  return result as Buffer[]
}

/** ftruncate(2); `length` in bytes. */
export function ftruncate(fd: number, length: number): void {
  check(
    native.ftruncate(checkFd(fd), checkInteger(length, 'length', 0, Number.MAX_SAFE_INTEGER)),
    'ftruncate',
  )
}

/** fsync(2) or, with `dataOnly`, fdatasync(2). Blocks until the disk has it. */
export function fsync(fd: number, options: { dataOnly?: boolean } = {}): void {
  check(native.fsync(checkFd(fd), options.dataOnly === true ? 1 : 0), 'fsync')
}

function checkFlags(flags: number, allowed: number): number {
  if ((flags & ~allowed) !== 0) throw bad('flags', `must not have bits beyond 0x${allowed.toString(16)}`)
  return flags
}
