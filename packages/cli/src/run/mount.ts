import { usageError } from '../command-line.ts'
import { bytes } from './values.ts'

interface Mount {
  Type: string
  Source?: string
  Target?: string
  ReadOnly: boolean
  BindOptions: Record<string, unknown>
  VolumeOptions: Record<string, unknown>
  TmpfsOptions: Record<string, unknown>
}

type Setter = (mount: Mount, value: string | undefined, text: string) => unknown

const setSource: Setter = (mount, value = '') => (mount.Source = value)
const setTarget: Setter = (mount, value = '') => (mount.Target = value)
const setReadOnly: Setter = (mount, value, text) => (mount.ReadOnly = truth(value, text))

/** docker's keys. */
const setters: Record<string, Setter> = {
  type: (mount, value = '') => (mount.Type = value),
  source: setSource,
  src: setSource,
  target: setTarget,
  destination: setTarget,
  dst: setTarget,
  readonly: setReadOnly,
  ro: setReadOnly,
  'bind-propagation': (mount, value) => (mount.BindOptions['Propagation'] = value),
  'bind-recursive': (mount, value, text) => Object.assign(mount.BindOptions, recursive(value, text)),
  'bind-nonrecursive': (mount, value, text) => (mount.BindOptions['NonRecursive'] = truth(value, text)),
  'bind-create-src': (mount, value, text) => (mount.BindOptions['CreateMountpoint'] = truth(value, text)),
  'volume-nocopy': (mount, value, text) => (mount.VolumeOptions['NoCopy'] = truth(value, text)),
  'volume-subpath': (mount, value) => (mount.VolumeOptions['Subpath'] = value),
  'tmpfs-size': (mount, value) => (mount.TmpfsOptions['SizeBytes'] = bytes(value, 'mount tmpfs-size')),
  'tmpfs-mode': (mount, value, text) => (mount.TmpfsOptions['Mode'] = octal(value, text)),
}

/** `--mount type=bind,source=/a,target=/b,readonly`. */
export function parseMount(text: string): Record<string, unknown> {
  const mount: Mount = {
    Type: 'volume',
    ReadOnly: false,
    BindOptions: {},
    VolumeOptions: {},
    TmpfsOptions: {},
  }
  for (const field of text.split(',')) {
    const [key = '', ...rest] = field.split('=')
    const name = key.toLowerCase()
    const set = Object.hasOwn(setters, name) ? setters[name] : undefined
    if (!set) throw usageError(`unexpected key '${key}' in '${field}' of --mount`)
    set(mount, rest.length > 0 ? rest.join('=') : undefined, text)
  }
  if (!['bind', 'volume', 'tmpfs'].includes(mount.Type)) throw usageError(`invalid mount type in "${text}"`)
  if (mount.Target === undefined) throw usageError(`target is required in --mount "${text}"`)
  const isSet = ([key, value]: [string, unknown]): boolean =>
    !key.endsWith('Options') || Object.keys(value as object).length > 0
  return Object.fromEntries(Object.entries(mount).filter(isSet))
}

function octal(value: string | undefined, text: string): number {
  if (!/^[0-7]{1,4}$/.test(value ?? ''))
    throw usageError(`invalid tmpfs-mode in --mount "${text}": an octal number is expected`)
  return Number.parseInt(value as string, 8)
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
