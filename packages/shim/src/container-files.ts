/** Files of a container's root, read without trusting it: a FIFO, a device or a gigabyte in /etc must not hurt. */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
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
 * what that is decides. Nor is more read than the size it had then: procfs and its like say 0, and some of their files
 * wait for what comes next (/proc/kmsg). Anything else counts as none: a number needs no entry to run as. Of more than
 * 1 MiB the whole lines are read that lie within.
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
    if ((mode & S_IFMT) !== S_IFREG) return null
    if (size === 0) return ''
    const bytes = readBytes(`/proc/self/fd/${fd}`, Math.min(Number(size), maxSize))
    return (size > maxSize ? wholeLines(bytes) : bytes).toString('utf8')
  } finally {
    closeFd(fd)
  }
}

/** At most `size` bytes of a regular file: it may grow meanwhile, and faster than it is read. */
function readBytes(path: string, size: number): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const bytes = Buffer.alloc(size)
    let read = 0
    for (let more = -1; more !== 0 && read < size; read += more)
      more = readSync(fd, bytes, read, size - read, null)
    return bytes.subarray(0, read)
  } finally {
    closeSync(fd)
  }
}

/** A line that is cut off could name another id than the file does. */
function wholeLines(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.lastIndexOf('\n') + 1)
}
