/** Who has the rights over a namespace that is mounted on a file: user_namespaces(7), NS_GET_USERNS of ioctl_nsfs(2). */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { closeFd, namespaceInode, namespaceOwner, openNamespace } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'

/** The named user namespace that owns the namespace at this path; undefined where that is the host's, or another. */
export function ownerOf(namespaces: string, path: string): { path: string; name: string } | undefined {
  const owner = ownerInode(path)
  const directory = join(namespaces, 'user')
  if (owner === undefined || !existsSync(directory)) return undefined
  const name = readdirSync(directory).find((each) => inodeAt(join(directory, each)) === owner)
  return name === undefined ? undefined : { name, path: join(directory, name) }
}

/** undefined where no namespace is mounted. */
export function inodeAt(path: string): number | undefined {
  return within(path, namespaceInode)
}

/** Of the user namespace that has the rights over it. */
export function ownerInode(path: string): number | undefined {
  return within(path, ownerInodeOf)
}

/** As `ownerInode`, of a namespace that is open. */
export function ownerInodeOf(fd: number): number {
  const owner = namespaceOwner(fd)
  try {
    return namespaceInode(owner)
  } finally {
    closeFd(owner)
  }
}

function within(path: string, look: (fd: number) => number): number | undefined {
  let fd: number
  try {
    fd = openNamespace(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'HF_NAMESPACE_NOT_FOUND')) return undefined
    throw error
  }
  try {
    return look(fd)
  } finally {
    closeFd(fd)
  }
}
