import { usageError } from '../command-line.ts'
import { bytes } from './values.ts'

/** `--mount type=bind,source=/a,target=/b,readonly`, with docker's keys. */
export function parseMount(text: string): Record<string, unknown> {
  const mount: Record<string, unknown> = { Type: 'volume', ReadOnly: false }
  const bind: Record<string, unknown> = {}
  const volume: Record<string, unknown> = {}
  const tmpfs: Record<string, unknown> = {}
  for (const field of text.split(',')) {
    const [key = '', ...rest] = field.split('=')
    const value = rest.length > 0 ? rest.join('=') : undefined
    switch (key.toLowerCase()) {
      case 'type': mount['Type'] = value; break
      case 'source': case 'src': mount['Source'] = value; break
      case 'target': case 'destination': case 'dst': mount['Target'] = value; break
      case 'readonly': case 'ro': mount['ReadOnly'] = truth(value, text); break
      case 'bind-propagation': bind['Propagation'] = value; break
      case 'bind-recursive': Object.assign(bind, recursive(value, text)); break
      case 'bind-nonrecursive': bind['NonRecursive'] = truth(value, text); break
      case 'bind-create-src': bind['CreateMountpoint'] = truth(value, text); break
      case 'volume-nocopy': volume['NoCopy'] = truth(value, text); break
      case 'volume-subpath': volume['Subpath'] = value; break
      case 'tmpfs-size': tmpfs['SizeBytes'] = bytes(value, 'mount tmpfs-size'); break
      case 'tmpfs-mode': tmpfs['Mode'] = Number.parseInt(value ?? '', 8); break
      default: throw usageError(`unexpected key '${key}' in '${field}' of --mount`)
    }
  }
  if (!['bind', 'volume', 'tmpfs'].includes(String(mount['Type']))) throw usageError(`invalid mount type in "${text}"`)
  if (mount['Target'] === undefined) throw usageError(`target is required in --mount "${text}"`)
  if (Object.keys(bind).length > 0) mount['BindOptions'] = bind
  if (Object.keys(volume).length > 0) mount['VolumeOptions'] = volume
  if (Object.keys(tmpfs).length > 0) mount['TmpfsOptions'] = tmpfs
  return mount
}

function truth(value: string | undefined, text: string): boolean {
  if (value === undefined || value === 'true' || value === '1') return true
  if (value === 'false' || value === '0') return false
  throw usageError(`invalid value "${value}" in --mount "${text}": true or false is expected`)
}

const recursion: Record<string, Record<string, boolean>> = {
  enabled: {},
  disabled: { NonRecursive: true },
  writable: { ReadOnlyNonRecursive: true },
  readonly: { ReadOnlyForceRecursive: true },
}

function recursive(value: string | undefined, text: string): Record<string, boolean> {
  const options = Object.hasOwn(recursion, value ?? '') ? recursion[value ?? ''] : undefined
  if (!options) throw usageError(`invalid bind-recursive "${value}" in --mount "${text}"`)
  return options
}
