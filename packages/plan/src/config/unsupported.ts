/** What the specification knows and this runtime does not do: refused by name, because dropping it would deceive. */
import { HoldfastError } from '@holdfast/errors'
import type { OciConfig } from './config.ts'

export function unsupported(field: string, reason: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `${field} is not supported: ${reason}`, {
    hint,
    details: { field, path: field },
  })
}

/** Sections for machines that a Linux container isn't. */
const otherPlatforms = ['vm', 'solaris', 'windows', 'zos', 'freebsd'] as const

export function refuseUnsupported(json: Record<string, unknown>, config: OciConfig): void {
  for (const section of otherPlatforms) {
    if (isSet(json[section])) throw unsupported(section, 'containers here are Linux ones')
  }
  const { linux } = config
  if (isSet(linux?.intelRdt)) throw unsupported('linux.intelRdt', 'resctrl is not managed')
}

/** Anything but what means "nothing": null, '', [], {}. */
function isSet(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return false
  return typeof value !== 'object' || Object.keys(value).length > 0
}
