/** Which capabilities a container gets: Docker's fourteen, and its rules for `--cap-add` and `--cap-drop`. */
import { allCapabilities } from '@holdfast/plan'
import { badRequest } from './refuse.ts'
import type { HostConfig } from '../engine/container-config.ts'

export const defaultCapabilities: readonly string[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** `grantable`: what `ALL` and `--privileged` come to on this host. */
export function capabilitiesOf(host: HostConfig, grantable: string[]): string[] {
  const add = host.CapAdd.map((name) => normalize(name, 'HostConfig.CapAdd'))
  const drop = new Set(host.CapDrop.map((name) => normalize(name, 'HostConfig.CapDrop')))
  if (host.Privileged) return grantable
  if (add.includes('ALL')) return grantable.filter((name) => !drop.has(name))
  if (drop.has('ALL')) return unique(add)
  return unique([...defaultCapabilities.filter((name) => !drop.has(name)), ...add])
}

/** Upper case, with CAP_ in front: both may be left out. */
function normalize(name: string, field: string): string {
  const upper = name.toUpperCase()
  if (upper === 'ALL') return upper
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (allCapabilities.includes(full)) return full
  throw badRequest(field, `invalid ${field.replace('HostConfig.', '')}: unknown capability: "${full}"`)
}

function unique(names: string[]): string[] {
  return [...new Set(names)]
}

/**
 * Inheritable and ambient stay empty: a non-empty inheritable set lets file capabilities survive a change of user
 * (CVE-2022-24769).
 */
export function capabilitySets(
  names: string[],
): Record<'bounding' | 'effective' | 'permitted' | 'inheritable' | 'ambient', string[]> {
  return { bounding: names, effective: names, permitted: names, inheritable: [], ambient: [] }
}
