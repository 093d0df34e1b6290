/**
 * The root of a container whose mount namespace is its caller's: it is mounted there, at `root.path`, as long as the
 * container is. In a namespace that was joined it stays until that one ends: from here it is out of sight.
 */
import { readFileSync, readlinkSync, realpathSync } from 'node:fs'
import { umount } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'

const MNT_DETACH = 2

export interface PlantedRoot {
  /** Without links. */
  path: string
  /** The mount namespace in which it was looked for what lay there. */
  namespace: string
  /** Those mounts, by their ids: an engine's own root file system may be one. */
  before: number[]
}

/** Of the directory `root`, before anything is mounted. */
export function plantingAt(root: string): PlantedRoot {
  const path = realpathSync(root)
  return { path, namespace: ownNamespace(), before: mountsAt(path) }
}

/**
 * Unmounts what has come to lie there. Does nothing where there is nothing, nor in another mount namespace than the one it
 * was made for: there the same path, and the same ids, are others' mounts.
 */
export function uproot({ path, namespace, before }: PlantedRoot): void {
  if (namespace !== ownNamespace()) return
  const known = new Set(before)
  for (const id of mountsAt(path)) {
    if (known.has(id)) continue
    try {
      umount(path, MNT_DETACH) // whichever is uppermost
    } catch (error) {
      if (!hasCode(error, 'EINVAL', 'ENOENT')) throw error // somebody else was first
    }
  }
}

const ownNamespace = (): string => readlinkSync('/proc/self/ns/mnt')

/** Ids of the mounts at this very path (proc_pid_mountinfo(5)). */
function mountsAt(path: string): number[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , , , mountPoint = '']) => unescaped(mountPoint) === path)
    .map(([id]) => Number(id))
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
