/**
 * Named namespaces: they exist with no process in them, held by a bind mount at `<exec-root>/ns/TYPE/NAME`, and are
 * joined by `--network ns:NAME`, `--ipc ns:NAME`, …. The mounts themselves are the only record, so a supervisor that
 * starts again finds what there is, and after a reboot there is nothing.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  bindNamespace,
  closeFd,
  createNamespace,
  createUserNamespace,
  MNT_DETACH,
  openNamespace,
  umount,
  UMOUNT_NOFOLLOW,
} from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { raiseLoopback } from '@holdfast/network'
import type { NamespaceType } from '@holdfast/protocol'
import type { EngineContext } from '../context.ts'
import type { NamedNamespace } from '../engine.ts'
import { inodeAt, ownerInode, ownerOf } from './namespace-owner.ts'
import { mapOfNamespace, type IdRange } from './id-map.ts'
import { choicesOf } from './container-choices.ts'
import { isRunning } from '../waits.ts'

const nameableTypes = ['cgroup', 'ipc', 'net', 'time', 'user', 'uts'] as const

export async function createNamed(
  context: EngineContext,
  type: string,
  name: string,
  owner: string,
): Promise<NamedNamespace> {
  const path = pathOf(context, type, name)
  if (inodeAt(path) !== undefined) {
    throw new HoldfastError('HF_NAME_IN_USE', `there is a ${type} namespace ${name} already`)
  }
  if (type === 'user' && owner !== '') throw bad('Owner', 'a named user namespace belongs to the host’s')
  const fd = await make(context, type as NamespaceType, name, owner)
  try {
    mkdirSync(join(context.paths.namespaces, type), { recursive: true, mode: 0o700 })
    rmSync(path, { force: true }) // of before the last reboot
    writeFileSync(path, '', { mode: 0o600, flag: 'wx' })
    bindNamespace(fd, path)
  } catch (error) {
    rmSync(path, { force: true })
    if (type === 'user') context.idRanges.release(rangeKey(name))
    throw error
  } finally {
    closeFd(fd)
  }
  return describe(context, type, name) as NamedNamespace
}

async function make(
  context: EngineContext,
  type: NamespaceType,
  name: string,
  owner: string,
): Promise<number> {
  if (type === 'user') return makeUser(context, name)
  const ownerFd = owner === '' ? undefined : openOwner(context, owner)
  try {
    const fd = createNamespace(type, ownerFd)
    try {
      if (type === 'net') await raiseLoopback(fd)
      return fd
    } catch (error) {
      closeFd(fd)
      throw error
    }
  } finally {
    if (ownerFd !== undefined) closeFd(ownerFd)
  }
}

/** With ids of its own, as a container's has. */
function makeUser({ idRanges }: EngineContext, name: string): number {
  const { start, size } = idRanges.allocate(rangeKey(name))
  const map = [{ containerID: 0, hostID: start, size }]
  try {
    return createUserNamespace({ uid: map, gid: map })
  } catch (error) {
    idRanges.release(rangeKey(name))
    throw error
  }
}

function openOwner(context: EngineContext, owner: string): number {
  const path = pathOf(context, 'user', owner)
  if (inodeAt(path) === undefined) {
    throw new HoldfastError('HF_NAMESPACE_NOT_FOUND', `there is no user namespace named ${owner}`, {
      hint: `Make it with \`hold ns create user/${owner}\`.`,
    })
  }
  return openNamespace(path)
}

/** Processes and descriptors keep a namespace alive without its name; containers that could not start again do not. */
export function removeNamed(context: EngineContext, type: string, name: string): void {
  const path = pathOf(context, type, name)
  if (inodeAt(path) === undefined) {
    throw new HoldfastError('HF_NAMESPACE_NOT_FOUND', `there is no ${type} namespace named ${name}`)
  }
  const users = usersOf(context, type as NamespaceType, path)
  if (users.length > 0) {
    throw new HoldfastError(
      'HF_CONTAINER_STATE',
      `the ${type} namespace ${name} is in use by ${users.join(', ')}`,
      { hint: 'Remove these first.', details: { users } },
    )
  }
  umount(path, MNT_DETACH | UMOUNT_NOFOLLOW)
  rmSync(path, { force: true })
  if (type === 'user') context.idRanges.release(rangeKey(name))
}

/** Containers that were made to join it, and other named namespaces that it owns. */
function usersOf(context: EngineContext, type: NamespaceType, path: string): string[] {
  const containers = context.containers
    .list()
    .filter((container) => {
      const choice = choicesOf(context, container).namespaces[type]
      return (
        choice.kind === 'path' && choice.path === path && (type === 'user' || isRunning(container.record))
      )
    })
    .map(({ record }) => `container ${record.name}`)
  if (type !== 'user') return containers
  const inode = inodeAt(path)
  const owned = listNamed(context).filter((each) => each.type !== 'user' && each.ownerIno === inode)
  return [...containers, ...owned.map((each) => `${each.type}/${each.name}`)]
}

export function listNamed(context: EngineContext): NamedNamespace[] {
  return nameableTypes.flatMap((type) => {
    const directory = join(context.paths.namespaces, type)
    if (!existsSync(directory)) return []
    return readdirSync(directory)
      .sort()
      .flatMap((name) => describe(context, type, name) ?? [])
  })
}

/** Id ranges that named user namespaces have, by the key under which they were taken. */
export async function namedIdRanges(context: EngineContext): Promise<[string, NonNullable<IdRange>][]> {
  const users = listNamed(context).filter(({ type }) => type === 'user')
  const ranges = await Promise.all(
    users.map(async ({ name, path }) => [name, await mapOfNamespace(path)] as const),
  )
  return ranges.flatMap(([name, range]) => (range ? [[rangeKey(name), range]] : []))
}

/** The instance goes: what it held goes too. */
export function removeAllNamed(context: EngineContext): void {
  // Those that are owned before their owners.
  const all = listNamed(context).sort((a, b) => Number(a.type === 'user') - Number(b.type === 'user'))
  for (const { type, name, path } of all) {
    umount(path, MNT_DETACH | UMOUNT_NOFOLLOW)
    rmSync(path, { force: true })
    if (type === 'user') context.idRanges.release(rangeKey(name))
  }
}

function describe(context: EngineContext, type: string, name: string): NamedNamespace | undefined {
  const path = join(context.paths.namespaces, type, name)
  const ino = inodeAt(path)
  const ownerIno = ownerInode(path)
  if (ino === undefined || ownerIno === undefined) return undefined
  return { type, name, path, ino, owner: ownerOf(context.paths.namespaces, path)?.name ?? 'host', ownerIno }
}

function pathOf({ paths }: EngineContext, type: string, name: string): string {
  if (type === 'pid') {
    throw new HoldfastError('HF_UNSUPPORTED', 'a pid namespace cannot be held once its init is gone', {
      hint: 'Share the pid namespace of a running container instead: --pid container:NAME.',
      details: { field: 'Type' },
    })
  }
  if (!nameableTypes.some((each) => each === type)) {
    throw bad('Type', `invalid namespace type "${type}": it is one of ${nameableTypes.join(', ')}`)
  }
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name)) throw bad('Name', `invalid namespace name "${name}"`)
  return join(paths.namespaces, type, name)
}

function rangeKey(name: string): string {
  return `ns/${name}`
}

function bad(field: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { details: { field } })
}
