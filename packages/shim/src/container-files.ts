/** Files of a container's root, read without trusting it: a FIFO, a device or a gigabyte in /etc must not hurt. */
import { readFileSync } from 'node:fs'
import { hasCode, HoldfastError } from '@holdfast/errors'
import {
  closeFd,
  fstat,
  openat2,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFMT,
  S_IFREG,
} from '@holdfast/core'

const maxSize = 1 << 20

/**
 * The text of a file beneath `root`, or null where there is none. Links are followed inside the root only. Nothing but
 * a regular file is ever opened: the lookup ends in an O_PATH descriptor, which reads nothing and wakes no driver, and
 * what that is decides. Throws HF_BAD_REQUEST where it is something else or has more than 1 MiB.
 */
export function readContainerFile(root: number, path: string): string | null {
  let fd: number
  try {
    fd = openat2(root, path, { flags: O_PATH, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS })
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return null
    throw error
  }
  try {
    const { mode, size } = fstat(fd)
    if ((mode & S_IFMT) !== S_IFREG) throw refuse(path, 'is not a regular file')
    if (size > maxSize) throw refuse(path, `has ${size} bytes, more than ${maxSize}`)
    return readFileSync(`/proc/self/fd/${fd}`, 'utf8')
  } finally {
    closeFd(fd)
  }
}

function refuse(path: string, what: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `the container's ${path} ${what}`, {
    details: { field: 'user', path },
  })
}
