/** Volumes by themselves; those that a container brings along are made by its mounts. */
import { HoldfastError } from '@holdfast/errors'
import { checkVolumeName } from './binds.ts'
import type { EngineContext } from '../context.ts'
import type { VolumeRecord } from '../engine.ts'

/** The volume of this name, made where there is none; '' makes up a name. Throws HF_BAD_REQUEST. */
export function createVolume(
  context: EngineContext,
  name: string,
  labels: Record<string, string>,
): VolumeRecord {
  if (name !== '') checkVolumeName(name, 'Name')
  return context.volumes.ensure(name, labels).volume
}

/** With its content. Throws HF_VOLUME_NOT_FOUND (not with `force`) and HF_VOLUME_IN_USE. */
export async function removeVolume(context: EngineContext, name: string, force: boolean): Promise<void> {
  if (!context.volumes.list().some((volume) => volume.name === name)) {
    if (force) return
    throw new HoldfastError('HF_VOLUME_NOT_FOUND', `get ${name}: no such volume`, { details: { name } })
  }
  const users = volumeUsers(context, name)
  if (users.length > 0) {
    throw new HoldfastError('HF_VOLUME_IN_USE', `remove ${name}: volume is in use - [${users.join(', ')}]`, {
      hint: 'Remove the containers that use it first.',
      details: { name, users },
    })
  }
  await context.volumes.remove(name)
}

/** Ids of the containers, running or not, that have this volume. */
function volumeUsers(context: EngineContext, name: string): string[] {
  return context.containers
    .list()
    .flatMap(({ id, record }) => (record.mounts.some((mount) => mount.Name === name) ? [id] : []))
}
