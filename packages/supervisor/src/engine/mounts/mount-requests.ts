/** Everything that is to be mounted in a container, from all the places where a create request can say so. */
import { HoldfastError } from '@holdfast/errors'
import {
  anonymousVolume,
  checkDestination,
  checkVolumeName,
  isPropagation,
  parseBind,
  type MountRequest,
  type Propagation,
} from './binds.ts'
import type { ContainerConfig, HostConfig, Mount } from '../container-config.ts'
import type { ContainerRecord } from '../container-record.ts'
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

/** The options that a type of mount has. */
const optionsOf = { bind: 'BindOptions', volume: 'VolumeOptions', tmpfs: 'TmpfsOptions' } as const

/** Docker's checks in its words: an option of another type is no slip to be passed over. */
function checkMount(mount: Mount, field: string): void {
  const invalid = (name: string, reason: string): HoldfastError =>
    new HoldfastError('HF_BAD_REQUEST', `invalid mount config for type "${mount.Type}": ${reason}`, {
      details: { field: `${field}.${name}` },
    })
  if (mount.Target === '') throw invalid('Target', 'field Target must not be empty')
  for (const [type, name] of Object.entries(optionsOf)) {
    if (type !== mount.Type && mount[name]) throw invalid(name, `field ${name} must not be specified`)
  }
  if (mount.Type === 'tmpfs' && mount.Source !== '')
    throw invalid('Source', 'field Source must not be specified')
  if (mount.Type !== 'bind') return
  if (mount.Source === '') throw invalid('Source', 'field Source must not be empty')
  if (!mount.Source.startsWith('/') || mount.Source.includes('\0'))
    throw invalid('Source', `invalid mount path: '${mount.Source}' mount path must be absolute`)
  const propagation = mount.BindOptions?.Propagation
  if (propagation && !isPropagation(propagation))
    throw invalid('BindOptions.Propagation', `invalid propagation mode: ${propagation}`)
}

function mountOf(mount: Mount, index: number): MountRequest {
  const field = `HostConfig.Mounts[${index}]`
  checkMount(mount, field)
  const request: MountRequest = {
    ...anonymousVolume(mount.Target),
    type: mount.Type,
    source: mount.Source,
    readonly: mount.ReadOnly,
    anonymous: mount.Type === 'volume' && mount.Source === '',
  }
  if (mount.Type === 'bind') return bindOf(request, mount, field)
  if (mount.Type === 'tmpfs') return tmpfsOf(request, mount)
  const options = mount.VolumeOptions
  if (mount.Source !== '') checkVolumeName(mount.Source, `${field}.Source`)
  const subpath = options?.Subpath ?? ''
  checkSubpath(subpath)
  const driver = options?.DriverConfig
  if (driver?.Name && driver.Name !== 'local') throw unsupported(`${field}.VolumeOptions.DriverConfig.Name`)
  if (Object.keys(driver?.Options ?? {}).length > 0)
    throw unsupported(`${field}.VolumeOptions.DriverConfig.Options`)
  return { ...request, noCopy: options?.NoCopy ?? false, labels: options?.Labels ?? {}, subpath }
}

function bindOf(request: MountRequest, mount: Mount, field: string): MountRequest {
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

function tmpfsOf(request: MountRequest, mount: Mount): MountRequest {
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
