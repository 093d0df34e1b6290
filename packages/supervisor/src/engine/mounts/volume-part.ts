/**
 * `volume-subpath`: a directory or file of a volume. Whoever may write to the volume may put links into it: none leads
 * out. What is mounted is looked up anew, in the same way, where the mount is made.
 */
import { posix } from 'node:path'
import {
  AT_FDCWD,
  closeFd,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
} from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { MountPoint } from '../container-record.ts'

export interface VolumePart extends Disposable {
  /** `/proc/<our pid>/fd/N`; valid until it is disposed of. */
  path: string
}

/** `subpath`: relative; '' is the whole volume. Throws HF_VOLUME_NOT_FOUND and HF_BAD_REQUEST, as docker words them. */
export function openVolumePart(mountpoint: string, subpath: string): VolumePart {
  const volume = openat2(AT_FDCWD, mountpoint, { flags: O_PATH | O_DIRECTORY })
  try {
    const fd = openat2(volume, subpath || '.', {
      flags: O_PATH,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    })
    return { path: `/proc/${process.pid}/fd/${fd}`, [Symbol.dispose]: () => closeFd(fd) }
  } catch (cause) {
    throw refusal(cause, `${mountpoint}/${subpath}`)
  } finally {
    closeFd(volume)
  }
}

/** Throws as `openVolumePart` where a part of a volume that a container mounts isn't there any more. */
export function checkVolumeParts(mounts: MountPoint[]): void {
  for (const { Source, subpath } of mounts) if (subpath) openVolumePart(Source, subpath)[Symbol.dispose]()
}

/** Throws HF_BAD_REQUEST for what leads, as it is written, out of the volume. */
export function checkSubpath(subpath: string): void {
  const leadsOut = /^(\/|\.\.(\/|$))/.test(posix.normalize(subpath))
  if (!leadsOut && !subpath.includes('\0')) return
  throw new HoldfastError(
    'HF_BAD_REQUEST',
    'invalid mount config for type "volume": subpath must be a relative path within the volume',
    { details: { subpath } },
  )
}

function refusal(cause: unknown, path: string): unknown {
  if (hasCode(cause, 'ENOENT', 'ENOTDIR')) {
    return new HoldfastError('HF_VOLUME_NOT_FOUND', `cannot access path ${path}: no such file or directory`, {
      cause,
      hint: 'Make it in the volume first: a part of a volume is not made as a volume is.',
    })
  }
  if (!hasCode(cause, 'EXDEV', 'ELOOP')) return cause
  return new HoldfastError('HF_BAD_REQUEST', `path ${path} escapes from its volume`, { cause })
}
