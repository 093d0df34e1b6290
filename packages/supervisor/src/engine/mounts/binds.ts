/** `-v` in Docker's grammar, `source:destination[:options]`, and the shape that all kinds of mounts come to. */
import { posix } from 'node:path'
import { HoldfastError } from '@holdfast/errors'

export type Propagation = 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave'

/** A mount as the user asked for it, before anything is made. */
export interface MountRequest {
  type: 'bind' | 'volume' | 'tmpfs'
  /** Host path of a bind; name of a volume, '' for an anonymous one; '' for tmpfs. */
  source: string
  destination: string
  readonly: boolean
  /** Read-only reaches the mounts beneath the source too. */
  recursiveReadonly: boolean
  /** A bind takes the mounts beneath its source along. */
  recursive: boolean
  propagation: Propagation
  /** Don't fill a new volume with what the image has there. */
  noCopy: boolean
  /** Make a bind's missing source, as `-v` does and `--mount` doesn't. */
  createSource: boolean
  /** `Mode` in inspect: the options as they were written. */
  mode: string
  labels: Record<string, string>
  /** The part of a volume that is mounted, relative; '' for all of it. */
  subpath: string
  /** mount(8)'s options of a tmpfs. */
  tmpfs: string[]
  /** From VOLUME in the image or `-v /path`: gone with the container on `rm -v`. */
  anonymous: boolean
}

const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/
const propagations = new Set<string>(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])
export function isPropagation(text: string): text is Propagation {
  return propagations.has(text)
}

/** Docker's options about SELinux labels and macOS: nothing follows from them here. */
const ignored = new Set(['z', 'Z', 'consistent', 'cached', 'delegated'])

/** Throws HF_BAD_REQUEST. */
export function parseBind(text: string): MountRequest {
  const parts = text.split(':')
  if (parts.length > 3 || parts.some((part) => part === '')) throw invalid(text)
  if (parts.length === 1) return { ...anonymousVolume(text), mode: '' }
  const [source = '', destination = '', mode = ''] = parts
  const request: MountRequest = { ...anonymousVolume(destination), source, anonymous: false, mode }
  if (source.startsWith('/')) {
    Object.assign(request, { type: 'bind', source: posix.normalize(source), createSource: true })
  } else {
    checkVolumeName(source, 'HostConfig.Binds')
  }
  if (mode !== '') applyOptions(request, mode, text)
  return request
}

function applyOptions(request: MountRequest, mode: string, text: string): void {
  const seen = new Set<string>()
  for (const option of mode.split(',')) {
    const kind = option === 'ro' || option === 'rw' ? 'rw' : propagations.has(option) ? 'propagation' : option
    if (seen.has(kind))
      throw new HoldfastError('HF_BAD_REQUEST', `invalid mode: ${mode}`, { details: { value: text } })
    seen.add(kind)
    if (option === 'ro') request.readonly = true
    else if (propagations.has(option) && request.type === 'bind') request.propagation = option as Propagation
    else if (option === 'nocopy' && request.type === 'volume') request.noCopy = true
    else if (option !== 'rw' && !ignored.has(option)) {
      throw new HoldfastError('HF_BAD_REQUEST', `invalid mode: ${mode}`, {
        details: { field: 'HostConfig.Binds', value: text },
      })
    }
  }
}

/** A volume without a name at this place. */
export function anonymousVolume(destination: string): MountRequest {
  return {
    type: 'volume',
    source: '',
    destination: checkDestination(destination),
    readonly: false,
    recursiveReadonly: true,
    recursive: true,
    propagation: 'rprivate',
    noCopy: false,
    createSource: false,
    mode: '',
    labels: {},
    subpath: '',
    tmpfs: [],
    anonymous: true,
  }
}

/** Absolute, not the root, without `..` and a slash at the end. Throws HF_BAD_REQUEST. */
export function checkDestination(path: string): string {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid mount path: '${path}' mount path must be absolute`)
  }
  const clean = posix.normalize(path).replace(/(?<=.)\/$/, '')
  if (clean === '/') {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid specification: destination can't be '/'`)
  }
  return clean
}

/** Docker's grammar and words. `field`: of the request, for the error. Throws HF_BAD_REQUEST. */
export function checkVolumeName(name: string, field: string): void {
  const reason =
    name.length === 1
      ? 'volume name is too short, names should be at least two alphanumeric characters'
      : name.length > 255
        ? 'volume name is too long, a directory of its name is made: 255 characters are the most'
        : volumeName.test(name)
          ? undefined
          : `"${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are ` +
            'allowed. If you intended to pass a host directory, use absolute path'
  if (reason === undefined) return
  throw new HoldfastError('HF_BAD_REQUEST', `create ${name}: ${reason}`, { details: { field, value: name } })
}

function invalid(text: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `invalid volume specification: '${text}'`, {
    details: { field: 'HostConfig.Binds', value: text },
  })
}
