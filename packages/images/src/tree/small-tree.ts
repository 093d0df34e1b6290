/** Removing a tree at once where that is a matter of some system calls: most of what short containers leave behind. */
import {
  AT_REMOVEDIR,
  closeFd,
  fstatat,
  O_DIRECTORY,
  O_NOFOLLOW,
  openat2,
  readdir,
  S_IFDIR,
  S_IFMT,
  unlinkat,
} from '@holdfast/core'
import { emptyDirectory } from './remove-tree.ts'

const maxEntries = 64
/** Of one file: the time that unlinking takes grows with it. */
const maxBytes = 1 << 20
/** Of a directory's own list: how many names are in it is not known before all are read. */
const maxListBytes = 8192

/** Removes `name` from `parent`; false, and nothing was touched, where it is large or deep. Follows no symbolic link. */
export function removeIfSmall(parent: number, name: Buffer): boolean {
  if (!isSmall(parent, name, { entries: maxEntries })) return false
  if ((fstatat(parent, name).mode & S_IFMT) !== S_IFDIR) {
    unlinkat(parent, name)
    return true
  }
  const directory = openat2(parent, name, { flags: O_DIRECTORY | O_NOFOLLOW })
  try {
    for (const _ of emptyDirectory(directory));
  } finally {
    closeFd(directory)
  }
  unlinkat(parent, name, AT_REMOVEDIR)
  return true
}

function isSmall(parent: number, name: Buffer, left: { entries: number }): boolean {
  if (left.entries-- === 0) return false
  const { mode, size } = fstatat(parent, name)
  if ((mode & S_IFMT) !== S_IFDIR) return size <= maxBytes
  if (size > maxListBytes) return false
  const directory = openat2(parent, name, { flags: O_DIRECTORY | O_NOFOLLOW })
  try {
    return readdir(directory).every((child) => isSmall(directory, child, left))
  } finally {
    closeFd(directory)
  }
}
