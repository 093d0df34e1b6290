/** Mount requests → directories that exist, and what `inspect` shows of them. */
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { HoldfastError } from '@holdfast/errors'
import type { MountRequest } from './binds.ts'
import type { MountPoint } from '../container-record.ts'
import type { EngineContext } from '../context.ts'
import { copyUp } from './copy-up.ts'
import { openVolumePart } from './volume-part.ts'

export interface PreparedMounts {
  points: MountPoint[]
  anonymous: string[]
  /** Volumes that were made for this: removed again where the create fails. */
  made: string[]
}

/** Sources of `--mount` binds must be there; throws HF_BAD_REQUEST before anything is made. */
export function checkSources(requests: MountRequest[]): void {
  for (const { type, source, createSource } of requests) {
    if (type !== 'bind' || createSource || existsSync(source)) continue
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid mount config for type "bind": bind source path does not exist: ${source}`,
      { details: { field: 'HostConfig.Mounts', source } },
    )
  }
}

/** Makes volumes and missing directories of `-v`, and fills new volumes from the image (`lower`, top first). */
export async function prepareMounts(
  context: EngineContext,
  requests: MountRequest[],
  lower: string[],
): Promise<PreparedMounts> {
  const prepared: PreparedMounts = { points: [], anonymous: [], made: [] }
  try {
    for (const request of requests) await prepareMount(context, request, lower, prepared)
    return prepared
  } catch (error) {
    for (const name of prepared.made) await context.volumes.remove(name)
    throw error
  }
}

async function prepareMount(
  context: EngineContext,
  request: MountRequest,
  lower: string[],
  prepared: PreparedMounts,
): Promise<void> {
  const { type, source, destination, readonly, mode, propagation, labels, noCopy, subpath } = request
  const point: MountPoint = {
    Type: type,
    Source: source,
    Destination: destination,
    Mode: mode,
    RW: !readonly,
    Propagation: '',
  }
  if (type === 'bind') {
    if (request.createSource) makeDirectory(source)
    prepared.points.push({ ...point, Propagation: propagation })
  } else if (type === 'tmpfs') {
    prepared.points.push(point)
  } else {
    const { volume, made } = context.volumes.ensure(source, labels)
    if (made) prepared.made.push(volume.name)
    if (request.anonymous) prepared.anonymous.push(volume.name)
    using part = openVolumePart(volume.mountpoint, subpath)
    if (!noCopy && isEmptyDirectory(part.path)) await copyUp(lower, destination, part.path)
    prepared.points.push({
      ...point,
      Name: volume.name,
      Source: volume.mountpoint,
      Driver: 'local',
      Mode: mode || 'z',
      ...(subpath !== '' && { subpath }),
    })
  }
}

/** Nothing was ever put into it. */
function isEmptyDirectory(path: string): boolean {
  return statSync(path).isDirectory() && readdirSync(path).length === 0
}

/** Docker makes a missing source of `-v` as a directory of root's. */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })) return
  const first = mkdirSync(path, { recursive: true })
  if (first !== undefined) chmodSync(path, 0o755)
}
