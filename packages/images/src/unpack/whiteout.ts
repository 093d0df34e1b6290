/**
 * Whiteouts: an archive says "deleted from the layers below" with a file `.wh.NAME`, and "nothing of the layers below
 * shows through" with `.wh..wh..opq`. Overlay says it with a character device 0:0 and with an attribute.
 * https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
 */
import { S_IFCHR, S_IFMT, fsetxattr, mknodat, type FileStat } from '@holdfast/core'
import { corrupt } from '../tar/corrupt.ts'

const prefix = '.wh.'
const opaqueName = '.wh..wh..opq'
/** Directories in which aufs kept its own records; old images have them. */
const aufsRecords = new Set(['.wh..wh.aufs', '.wh..wh.plnk', '.wh..wh.orph'])

export type Meaning =
  | { kind: 'entry' }
  | { kind: 'whiteout'; hidden: string }
  | { kind: 'opaque' }
  /** aufs's own records. */
  | { kind: 'skip' }

/** What an entry of this path means. `path` holds bytes as characters. Throws for names that would be a trap. */
export function meaningOf(path: readonly string[], name: Buffer): Meaning {
  if (path.some((component) => aufsRecords.has(component))) return { kind: 'skip' }
  if (path.slice(0, -1).some((component) => component.startsWith(prefix)))
    throw corrupt('a whiteout is used as a directory', name)
  const last = path.at(-1) ?? ''
  if (!last.startsWith(prefix)) return { kind: 'entry' }
  if (last === opaqueName) return { kind: 'opaque' }
  const hidden = last.slice(prefix.length)
  // `.wh..` and `.wh...` would hide the directory itself and its parent; `.wh..wh.` is reserved.
  if (hidden === '' || hidden === '.' || hidden === '..' || hidden.startsWith(prefix))
    throw corrupt('the whiteout hides no name that a file may have', name)
  return { kind: 'whiteout', hidden }
}

export function isWhiteoutName(component: string): boolean {
  return component.startsWith(prefix)
}

export function isWhiteout(stat: FileStat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdev.major === 0 && stat.rdev.minor === 0
}

export function makeWhiteout(parent: number, name: Buffer): void {
  mknodat(parent, name, S_IFCHR, 0, 0)
}

export const opaqueAttribute = 'trusted.overlay.opaque'

export function makeOpaque(directory: number): void {
  fsetxattr(directory, opaqueAttribute, Buffer.from('y'))
}
