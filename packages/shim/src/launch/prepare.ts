/** What is made or opened before the launcher starts, with the host's rights. */
import { closeSync, statSync } from 'node:fs'
import {
  closeFd,
  createUserNamespace,
  createUserNamespaceRootless,
  namespaceInode,
  namespaceType,
  openNamespace,
} from '@holdfast/core'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { Preparation } from '@holdfast/plan'
import { makeCgroups, type Residents } from '../cgroup/cgroup.ts'
import type { CgroupHandle } from './launched.ts'

export interface Prepared {
  /** By the names that the plan's steps use. */
  fds: Record<string, number>
  /** Of those, the ones that only the launch needs. */
  transient: Set<number>
  cgroups: CgroupHandle[]
}

/**
 * All of them, in order, or none. Nothing that it made has a process in it, so a failure undoes all at once.
 * `residents`: of the cgroup.
 */
export function prepare(preparations: readonly Preparation[], residents?: Residents): Prepared {
  const prepared: Prepared = { fds: {}, transient: new Set(), cgroups: [] }
  try {
    for (const preparation of preparations) carryOut(preparation, prepared, residents)
    return prepared
  } catch (error) {
    for (const fd of prepared.transient) closeFd(fd)
    for (const cgroup of prepared.cgroups) closeSync(cgroup.dirFd)
    throw error
  }
}

function carryOut(preparation: Preparation, prepared: Prepared, residents?: Residents): void {
  const { fds, transient, cgroups } = prepared
  switch (preparation.do) {
    case 'make-userns': {
      const make = preparation.rootless ? createUserNamespaceRootless : createUserNamespace
      transient.add((fds[preparation.as] = make(preparation)))
      return
    }
    case 'open-namespace':
      transient.add((fds[preparation.as] = openVerified(preparation)))
      return
    case 'make-cgroup': {
      // The last to be prepared: what comes after it could not undo it without waiting.
      const made = makeCgroups(preparation, residents)
      Object.assign(fds, made.fds)
      cgroups.push(...made.handles)
      for (const [name, fd] of Object.entries(made.fds)) if (name.endsWith(':procs')) transient.add(fd)
      return
    }
    default:
      return preparation satisfies never
  }
}

function openVerified(preparation: Extract<Preparation, { do: 'open-namespace' }>): number {
  const { path, namespace, field, notOurs } = preparation
  let fd: number
  try {
    fd = openNamespace(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ESRCH', 'HF_NAMESPACE_NOT_FOUND')) throw error
    throw new HoldfastError('HF_NAMESPACE_NOT_FOUND', `${field}: there is no namespace at ${path}`, {
      cause: error,
      details: { path: field },
    })
  }
  const actual = namespaceType(fd)
  const problem =
    actual !== namespace
      ? `${path} is a ${actual} namespace, not a ${namespace} namespace`
      : notOurs && namespaceInode(fd) === statSync(`/proc/self/ns/${namespace}`).ino
        ? `${path} is the host's own: linux.sysctl would change it`
        : undefined
  if (problem === undefined) return fd
  closeFd(fd)
  throw new HoldfastError('HF_INVALID_CONFIG', `${field}: ${problem}`, { details: { path: field } })
}
