/** Opening paths: openat2(2), Linux 5.6. The one way in which this package opens a path. */
import { checkDirfd, checkInteger, checkPath, type Path } from './argument.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  openat2(dirfd: number, path: Path, flags: number, mode: number, resolve: number): number
}

export { AT_FDCWD, type Path } from './argument.ts'

/** The *at calls, openat(2) and those beside it. */
export const AT_SYMLINK_NOFOLLOW = 0x100
export const AT_REMOVEDIR = 0x200
export const AT_SYMLINK_FOLLOW = 0x400
export const AT_EMPTY_PATH = 0x1000
export const AT_RECURSIVE = 0x8000

/** open(2). */
export const O_RDONLY = 0
export const O_WRONLY = 1
export const O_RDWR = 2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_NOCTTY = 0o400
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000
/** These four differ between x86_64 and aarch64. */
const arm = process.arch === 'arm64'
export const O_DIRECTORY = arm ? 0o40000 : 0o200000
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000
export const O_DIRECT = arm ? 0o200000 : 0o40000
export const O_TMPFILE = 0o20000000 | O_DIRECTORY
export const O_PATH = 0o10000000

/** No crossing of mount points. */
export const RESOLVE_NO_XDEV = 0x01
/** No /proc/PID/fd links and their like. */
export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
/** Leaving the directory is an error (EXDEV). */
export const RESOLVE_BENEATH = 0x08
/** The directory is `/`: absolute links and `..` stay inside, as if chrooted. */
export const RESOLVE_IN_ROOT = 0x10
/** Only what needs no I/O (EAGAIN otherwise). */
export const RESOLVE_CACHED = 0x20

/** openat2(2), `struct open_how`. */
export interface OpenHow {
  /** O_…; close-on-exec is always added. */
  flags?: number
  /** Permissions, with O_CREAT or O_TMPFILE alone. */
  mode?: number
  /** RESOLVE_… */
  resolve?: number
}

/**
 * openat2(2). A lookup that has to stay in its directory ends with EAGAIN when something was renamed meanwhile; that
 * is tried again, a bounded number of times, so an attacker who renames for ever gets an error and not a loop.
 */
export function openat2(dirfd: number, path: Path, how: OpenHow = {}): number {
  const { flags = O_RDONLY, mode = 0, resolve = 0 } = how
  checkDirfd(dirfd)
  checkPath(path)
  checkInteger(flags, 'flags', 0, 0x7fff_ffff)
  checkInteger(mode, 'mode', 0, 0o7777)
  checkInteger(resolve, 'resolve', 0, 0x3f)
  let fd = native.openat2(dirfd, path, flags | O_CLOEXEC, mode, resolve)
  const scoped = (resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0 && (resolve & RESOLVE_CACHED) === 0
  for (let tries = 0; scoped && tries < 64 && fd < 0 && errnoName(-fd) === 'EAGAIN'; tries++) {
    fd = native.openat2(dirfd, path, flags | O_CLOEXEC, mode, resolve)
  }
  return check(fd, 'openat2', { path, hints: openHints })
}

const openHints = {
  EXDEV: 'The path leaves the directory that it has to stay in.',
  ELOOP: 'A symbolic link lies in the path where none may be.',
}
