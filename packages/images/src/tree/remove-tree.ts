/**
 * Removing trees that others filled: on directory descriptors, never through a symbolic link, and with two
 * descriptors however deep the tree is. A subdirectory that is not empty is moved up to the top first, so the tree
 * gets flatter instead of the walk deeper.
 */
import { hasCode } from '@holdfast/errors'
import {
  AT_REMOVEDIR,
  closeFd,
  O_DIRECTORY,
  O_NOFOLLOW,
  openat2,
  readdir,
  RENAME_NOREPLACE,
  renameat2,
  unlinkat,
} from '@holdfast/core'

/** Removes all that is in the directory `top`. Yields now and then, for callers that have other things to do. */
export function* emptyDirectory(top: number): Generator<void, void> {
  const moved = { count: 0 }
  // What was moved up is found by reading the directory again.
  for (let names = readdir(top); names.length > 0; names = readdir(top)) {
    for (const name of names) yield* removeEntry(top, name, moved)
  }
}

/** Removes `name` from `parent`, whatever it is. `scratch` is an empty directory on the same file system. */
export function removeFrom(parent: number, name: Buffer, scratch: number): void {
  if (unlinkUnlessFull(parent, name)) return
  renameat2(parent, name, scratch, 'removed')
  for (const _ of emptyDirectory(scratch));
}

function* removeEntry(top: number, name: Buffer, moved: { count: number }): Generator<void, void> {
  if (unlinkUnlessFull(top, name)) return
  const directory = openat2(top, name, { flags: O_DIRECTORY | O_NOFOLLOW })
  try {
    let seen = 0
    for (const child of readdir(directory)) {
      if (++seen % 64 === 0) yield
      if (!unlinkUnlessFull(directory, child)) moveUp(directory, child, top, moved)
    }
  } finally {
    closeFd(directory)
  }
  unlinkUnlessFull(top, name)
  yield
}

/** False for a directory that has something in it. What is gone already is as good as removed. */
function unlinkUnlessFull(parent: number, name: Buffer): boolean {
  try {
    unlinkat(parent, name)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true
    if (!hasCode(error, 'EISDIR')) throw error
  }
  try {
    unlinkat(parent, name, AT_REMOVEDIR)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true
    if (!hasCode(error, 'ENOTEMPTY')) throw error
    return false
  }
}

function moveUp(from: number, name: Buffer, top: number, moved: { count: number }): void {
  for (;;) {
    try {
      renameat2(from, name, top, `holdfast-removed-${moved.count++}`, RENAME_NOREPLACE)
      return
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error // the tree has a file of that name itself
    }
  }
}
