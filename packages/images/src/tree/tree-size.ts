/** How much a tree holds: the sizes of all but its directories, each inode once, as `docker ps -s` counts. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { hasCode } from '@holdfast/errors'
import {
  AT_FDCWD,
  closeFd,
  fstatat,
  O_DIRECTORY,
  O_NOFOLLOW,
  openat2,
  readdir,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFMT,
} from '@holdfast/core'

/** Paths longer than this are opened in two steps, since the kernel takes 4096 bytes at most. */
const maxRelativePath = 2048
const entriesPerTurn = 256

/** A directory still to be counted, by its path from an open one; or an open one that is not needed any more. */
type Todo = { anchor: number; path: Buffer } | { close: number }

/** The tree may change meanwhile, as a running container's does. Never follows a symbolic link. */
export async function treeSize(root: string): Promise<number> {
  const anchor = openat2(AT_FDCWD, root, { flags: O_DIRECTORY | O_NOFOLLOW })
  const todo: Todo[] = [{ close: anchor }, { anchor, path: Buffer.from('.') }]
  const seen = new Set<bigint>()
  let total = 0
  let entries = 0
  try {
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      if ('close' in next) {
        closeFd(next.close)
        continue
      }
      const fd = ifThere(() => openDirectory(next))
      if (fd === undefined) continue
      const isAnchor = next.path.length > maxRelativePath
      todo.push({ close: fd })
      const below: Todo[] = []
      for (const name of readdir(fd)) {
        const stat = ifThere(() => fstatat(fd, name))
        const type = stat && stat.mode & S_IFMT
        if (type === S_IFDIR) {
          const path = isAnchor ? name : Buffer.concat([next.path, slash, name])
          below.push({ anchor: isAnchor ? fd : next.anchor, path })
        } else if (stat && (stat.nlink === 1 || !seen.has(stat.ino))) {
          if (stat.nlink > 1) seen.add(stat.ino)
          total += stat.size
        }
        if (++entries % entriesPerTurn === 0) await nextTurn()
      }
      // Only an anchor has to stay open for what is below it.
      if (!isAnchor) closeFd((todo.pop() as { close: number }).close)
      todo.push(...below)
    }
    return total
  } finally {
    for (const left of todo) if ('close' in left) closeFd(left.close)
  }
}

const slash = Buffer.from('/')

function openDirectory({ anchor, path }: { anchor: number; path: Buffer }): number {
  return openat2(anchor, path, { flags: O_DIRECTORY, resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS })
}

/** Undefined for what went away, or became something else, since it was listed. */
function ifThere<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
    throw error
  }
}
