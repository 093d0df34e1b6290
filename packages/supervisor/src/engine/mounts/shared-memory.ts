/**
 * /dev/shm of a container whose IPC namespace others may join (`--ipc shareable`): POSIX shared memory are files, so
 * sharing takes the same file system. It is mounted on the host, where a joining container finds it; a mount inside
 * the first one's mount namespace could not be taken from there.
 */
import { chownSync, existsSync, mkdirSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  AT_FDCWD,
  closeFd,
  fsconfigCreate,
  fsconfigString,
  fsmount,
  fsopen,
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  moveMount,
  O_DIRECTORY,
  O_PATH,
  openat2,
  umount,
  UMOUNT_NOFOLLOW,
} from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import type { SpecInput } from '../../spec/index.ts'
import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'
import type { NamespaceChoices } from '../namespaces/namespace-modes.ts'

const defaultSize = 64 * 1024 * 1024

/** Where the container's /dev/shm comes from. */
export function shmOf(
  context: EngineContext,
  container: Container,
  { ipc, namespaces }: NamespaceChoices,
): SpecInput['shm'] {
  if (ipc === 'none') return 'none'
  if (ipc === 'shareable') return { source: shmDirectory(context, container.id) }
  const choice = namespaces.ipc
  if (choice.kind === 'host') return { source: '/dev/shm' }
  if (choice.kind !== 'container') return 'own'
  const maker = makerOf(context, choice.id)
  if (maker === 'host') return { source: '/dev/shm' }
  const shared = shmDirectory(context, maker)
  return existsSync(shared) ? { source: shared } : 'own'
}

/** Who made the IPC namespace that a container is in, which may have joined another's itself. */
function makerOf(context: EngineContext, id: string): string {
  const mode = context.containers.byId(id)?.record.hostConfig.IpcMode ?? ''
  return mode.startsWith('container:')
    ? makerOf(context, mode.slice('container:'.length))
    : mode === 'host'
      ? mode
      : id
}

/** Idempotent. */
export function mountShm(context: EngineContext, { id, record }: Container): void {
  if (record.hostConfig.IpcMode !== 'shareable') return
  const directory = shmDirectory(context, id)
  unmountShm(context, id)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const superblock = fsopen('tmpfs')
  let mount = -1
  let target = -1
  try {
    fsconfigString(superblock, 'source', 'shm')
    fsconfigString(superblock, 'mode', '1777')
    fsconfigString(superblock, 'size', String(record.hostConfig.ShmSize || defaultSize))
    fsconfigCreate(superblock)
    mount = fsmount(superblock, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)
    target = openat2(AT_FDCWD, directory, { flags: O_PATH | O_DIRECTORY })
    moveMount(mount, target, directory)
  } finally {
    for (const fd of [superblock, mount, target]) if (fd >= 0) closeFd(fd)
  }
  const root = record.idRange?.start ?? 0
  chownSync(directory, root, root)
}

/** Idempotent. */
export function unmountShm(context: EngineContext, id: string): void {
  const directory = shmDirectory(context, id)
  if (!existsSync(directory)) return
  try {
    umount(directory, MNT_DETACH | UMOUNT_NOFOLLOW)
  } catch (error) {
    if (!hasCode(error, 'EINVAL', 'ENOENT')) throw error // not mounted
  }
  rmdirSync(directory)
}

function shmDirectory(context: EngineContext, id: string): string {
  return join(context.paths.execRoot, 'shm', id)
}
