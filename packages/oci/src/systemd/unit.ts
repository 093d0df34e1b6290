/** Where a container lies in systemd's tree, from what `linux.cgroupsPath` says with --systemd-cgroup. */
import { HoldfastError } from '@holdfast/errors'

export interface ScopeUnit {
  /** `PREFIX-NAME.scope` */
  name: string
  /** `a-b.slice`; `-.slice` is the root. */
  slice: string
  /** Of its cgroup, beneath each hierarchy's mount point. */
  path: string
}

/** `SLICE:PREFIX:NAME`, as the engines' systemd drivers write it. Throws HF_INVALID_CONFIG. */
export function scopeUnit(cgroupsPath: string | undefined, id: string): ScopeUnit {
  const parts = cgroupsPath ? cgroupsPath.split(':') : ['', 'holdfast-oci', id]
  if (parts.length !== 3)
    throw invalid(
      `expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got ${JSON.stringify(cgroupsPath)}`,
    )
  const [asked = '', prefix = '', name = ''] = parts
  const slice = asked || 'system.slice'
  const unit = `${prefix === '' ? '' : `${prefix}-`}${name}.scope`
  // systemd.unit(5): letters, digits, and these; what else there is in a name would have to be escaped.
  if (name === '' || name.endsWith('.slice') || !/^[\w:.\\@-]{1,255}$/.test(unit))
    throw invalid(`no name of a scope: ${JSON.stringify(unit)}`)
  return { name: unit, slice, path: `${slicePath(slice)}/${unit}` }
}

/** `a-b-c.slice` lies in `a-b.slice`, and that in `a.slice` (systemd.slice(5)). */
function slicePath(slice: string): string {
  if (slice === '-.slice') return ''
  const stem = /^([\w:.\\@-]+)\.slice$/.exec(slice)?.[1]
  const parts = stem?.split('-') ?? ['']
  if (slice.length > 255 || parts.includes('')) throw invalid(`no name of a slice: ${JSON.stringify(slice)}`)
  return parts.map((_, at) => `/${parts.slice(0, at + 1).join('-')}.slice`).join('')
}

function invalid(message: string): HoldfastError {
  const path = 'linux.cgroupsPath'
  return new HoldfastError('HF_INVALID_CONFIG', `${path}: ${message}`, { details: { path } })
}
