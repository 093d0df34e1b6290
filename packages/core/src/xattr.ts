/**
 * Extended attributes: setxattr(2), getxattr(2), listxattr(2).
 *
 * The f… calls refuse O_PATH descriptors and there are no …at calls before Linux 6.13, so both go by
 * /proc/self/fd/N, which leads to exactly the file that was opened and follows no link in it.
 */
import { checkDirfd, checkFd, checkInteger, checkPath, type Path } from './argument.ts'
import { closeFd } from './descriptor.ts'
import { addon, check, errnoName } from './native.ts'
import { O_NOFOLLOW, O_PATH, openat2 } from './path.ts'

const native = addon as {
  setxattr(path: string, name: string, value: Uint8Array, flags: number): number
  getxattr(path: string, name: string): Buffer | number
  listxattr(path: string): Buffer | number
}

/** setxattr(2): fails where the attribute is there (CREATE), or is not (REPLACE). */
export const XATTR_CREATE = 1
export const XATTR_REPLACE = 2

/** fsetxattr(2), of O_PATH descriptors too; `flags`: 0, XATTR_CREATE or XATTR_REPLACE. */
export function fsetxattr(fd: number, name: string, value: Uint8Array, flags = 0): void {
  checkPath(name, 'name')
  checkInteger(flags, 'flags', 0, 3)
  check(native.setxattr(fdPath(fd), name, value, flags), 'setxattr', { path: name, hints: xattrHints })
}

const xattrHints = {
  ENOTSUP: 'The file system keeps no attributes of this kind on this kind of file.',
  ENOSPC: 'The attributes of one file have no more room on this file system.',
}

/** Undefined where the attribute is not set (ENODATA). */
export function fgetxattr(fd: number, name: string): Buffer | undefined {
  const result = native.getxattr(fdPath(fd), checkPath(name, 'name'))
  if (typeof result !== 'number') return result
  if (errnoName(-result) === 'ENODATA') return undefined
  check(result, 'getxattr', { path: name })
  return undefined
}

/** The names of a file's attributes; none where the file system keeps none. */
export function flistxattr(fd: number): string[] {
  const result = native.listxattr(fdPath(fd))
  if (typeof result !== 'number') return result.toString().split('\0').filter(Boolean)
  if (errnoName(-result) !== 'ENOTSUP') check(result, 'listxattr')
  return []
}

/** As `fsetxattr`, of an entry of a directory, never through a symbolic link. */
export function lsetxattrat(dirfd: number, path: Path, name: string, value: Uint8Array, flags = 0): void {
  withEntry(dirfd, path, (fd) => fsetxattr(fd, name, value, flags))
}

/** As `fgetxattr`, of an entry of a directory, never through a symbolic link. */
export function lgetxattrat(dirfd: number, path: Path, name: string): Buffer | undefined {
  return withEntry(dirfd, path, (fd) => fgetxattr(fd, name))
}

/** As `flistxattr`, of an entry of a directory, never through a symbolic link. */
export function llistxattrat(dirfd: number, path: Path): string[] {
  return withEntry(dirfd, path, flistxattr)
}

function withEntry<T>(dirfd: number, path: Path, use: (fd: number) => T): T {
  const fd = openat2(checkDirfd(dirfd), path, { flags: O_PATH | O_NOFOLLOW })
  try {
    return use(fd)
  } finally {
    closeFd(fd)
  }
}

function fdPath(fd: number): string {
  return `/proc/self/fd/${checkFd(fd)}`
}
