/** Network namespaces by path or descriptor. */
import { closeSync, openSync } from 'node:fs'
import { namespaceInode, namespaceType, openNamespace } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'

/** A descriptor, and whether it is ours to close. */
export interface OpenNetns extends Disposable {
  readonly fd: number
}

/** HF_NAMESPACE_NOT_FOUND where there is none. A descriptor stays the caller's. */
export function openNetns(netns: string | number): OpenNetns {
  if (typeof netns === 'number') return { fd: netns, [Symbol.dispose]: () => undefined }
  let fd: number
  try {
    fd = openNamespace(netns)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'HF_NAMESPACE_NOT_FOUND')) throw error
    throw notFound(netns, error)
  }
  if (namespaceType(fd) === 'net') return owned(fd)
  closeSync(fd)
  throw notFound(netns)
}

/** As `openNetns`; undefined where there is none, or where the path is empty. */
export function findNetns(netns: string | number | undefined): OpenNetns | undefined {
  if (netns === undefined || netns === '') return undefined
  try {
    return openNetns(netns)
  } catch (error) {
    if (!hasCode(error, 'HF_NAMESPACE_NOT_FOUND')) throw error
    return undefined
  }
}

export function openOwnNetns(netns: number | undefined): OpenNetns {
  return netns === undefined ? owned(openSync('/proc/thread-self/ns/net', 'r')) : openNetns(netns)
}

/** Whether the descriptor is of the host's own network namespace. */
export function isHostNetns(fd: number, host: number | undefined): boolean {
  using own = openOwnNetns(host)
  return namespaceInode(own.fd) === namespaceInode(fd)
}

function owned(fd: number): OpenNetns {
  return { fd, [Symbol.dispose]: () => closeSync(fd) }
}

function notFound(path: string, cause?: unknown): HoldfastError {
  return new HoldfastError('HF_NAMESPACE_NOT_FOUND', `${path} is no network namespace`, {
    cause,
    details: { path },
  })
}
