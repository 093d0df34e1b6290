/** Everything that is to be mounted in a container, from all the places where a create request can say so. */
import { HoldfastError } from '@holdfast/errors'
import {
  anonymousVolume,
  checkDestination,
  checkVolumeName,
  parseBind,
  type MountRequest,
  type Propagation,
} from './binds.ts'
import type { ContainerConfig, HostConfig, Mount } from './container-config.ts'
import type { ContainerRecord } from './container-record.ts'
import { checkSubpath } from './volume-part.ts'

/** `find` looks up a container of `--volumes-from`. Throws HF_BAD_REQUEST, HF_UNSUPPORTED. */
export function mountRequests(
  config: ContainerConfig,
  host: HostConfig,
  find: (ref: string) => ContainerRecord,
): MountRequest[] {
  const named = namedRequests(host)
  const seen = new Set<string>(Object.keys(host.Tmpfs).map(checkDestination))
  for (const { destination } of named) {
    if (seen.has(destination)) {
      throw new HoldfastError('HF_BAD_REQUEST', `Duplicate mount point: ${destination}`)
    }
    seen.add(destination)
  }
  const inherited = host.VolumesFrom.flatMap((text) => volumesFrom(text, find)).filter(
    ({ destination }) => !seen.has(destination) && seen.add(destination),
  )
  const anonymous = Object.keys(config.Volumes)
    .map(anonymousVolume)
    .filter(({ destination }) => !seen.has(destination) && seen.add(destination))
  return [...named, ...inherited, ...anonymous]
}

/** `-v` and `--mount`. */
export function namedRequests(host: HostConfig): MountRequest[] {
  return [...host.Binds.map(parseBind), ...host.Mounts.map(mountOf)]
}

function mountOf(mount: Mount, index: number): MountRequest {
  const field = `HostConfig.Mounts[${index}]`
  const request: MountRequest = {
    ...anonymousVolume(mount.Target),
    type: mount.Type,
    source: mount.Source,
    readonly: mount.ReadOnly,
    anonymous: mount.Type === 'volume' && mount.Source === '',
  }
  if (mount.Type === 'bind') return bindOf(request, mount, field)
  if (mount.Type === 'tmpfs') return tmpfsOf(request, mount, field)
  const options = mount.VolumeOptions
  if (mount.Source !== '') checkVolumeName(mount.Source)
  const subpath = options?.Subpath ?? ''
  checkSubpath(subpath)
  const driver = options?.DriverConfig
  if (driver?.Name && driver.Name !== 'local') throw unsupported(`${field}.VolumeOptions.DriverConfig.Name`)
  if (Object.keys(driver?.Options ?? {}).length > 0)
    throw unsupported(`${field}.VolumeOptions.DriverConfig.Options`)
  return { ...request, noCopy: options?.NoCopy ?? false, labels: options?.Labels ?? {}, subpath }
}

function bindOf(request: MountRequest, mount: Mount, field: string): MountRequest {
  if (!mount.Source.startsWith('/') || mount.Source.includes('\0')) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid mount config for type "bind": invalid mount path: '${mount.Source}' mount path must be absolute`,
      { details: { field: `${field}.Source` } },
    )
  }
  const { Propagation, NonRecursive, CreateMountpoint, ReadOnlyNonRecursive, ReadOnlyForceRecursive } =
    mount.BindOptions ?? {}
  if (ReadOnlyNonRecursive && ReadOnlyForceRecursive) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      'ReadOnlyNonRecursive and ReadOnlyForceRecursive are mutually exclusive',
      { details: { field: `${field}.BindOptions` } },
    )
  }
  return {
    ...request,
    propagation: (Propagation || 'rprivate') as Propagation,
    recursive: !NonRecursive,
    recursiveReadonly: !ReadOnlyNonRecursive,
    createSource: CreateMountpoint ?? false,
  }
}

function tmpfsOf(request: MountRequest, mount: Mount, field: string): MountRequest {
  if (mount.Source !== '') {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      'invalid mount config for type "tmpfs": field Source must not be specified',
      {
        details: { field: `${field}.Source` },
      },
    )
  }
  const { SizeBytes, Mode } = mount.TmpfsOptions ?? {}
  const tmpfs = [...(SizeBytes ? [`size=${SizeBytes}`] : []), ...(Mode ? [`mode=${Mode.toString(8)}`] : [])]
  return { ...request, tmpfs }
}

/** `container[:ro|rw]`. */
function volumesFrom(text: string, find: (ref: string) => ContainerRecord): MountRequest[] {
  const [ref = '', mode = 'rw', ...rest] = text.split(':')
  if (rest.length > 0 || !['ro', 'rw', 'z', 'Z'].includes(mode)) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid volumes-from specification: '${text}'`)
  }
  return find(ref).mounts.flatMap((mount) => {
    if (mount.Type === 'tmpfs') return []
    const request = anonymousVolume(mount.Destination)
    return [
      {
        ...request,
        type: mount.Type,
        source: mount.Name ?? mount.Source,
        readonly: mode === 'ro' || !mount.RW,
        propagation: (mount.Propagation || 'rprivate') as Propagation,
        noCopy: true,
        subpath: mount.subpath ?? '',
        anonymous: false,
      },
    ]
  })
}

function unsupported(field: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `${field} is not supported`, { details: { field } })
}
