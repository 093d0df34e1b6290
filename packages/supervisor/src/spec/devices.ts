/** Device nodes and the device cgroup's rules. */
import { badRequest } from './refuse.ts'
import type { OciDevice, OciDeviceRule } from '@holdfast/plan'
import type { SpecInput } from './spec-input.ts'

export function deviceNodes({ devices }: SpecInput): OciDevice[] {
  return devices.map(({ path, type, major, minor, fileMode, uid, gid }) => ({
    path,
    type,
    major,
    minor,
    fileMode,
    uid,
    gid,
  }))
}

/**
 * Nothing but what is named. The nodes that every container has are allowed by the plan; the console driver (5:1) and
 * tun (10:200), which Docker lets through, are the host's and come on request only.
 */
export function deviceRules(input: SpecInput): OciDeviceRule[] {
  const { hostConfig, devices, idRange } = input
  if (hostConfig.Privileged) return [{ allow: true, access: 'rwm' }]
  return [
    { allow: false, access: 'rwm' },
    // mknod(2) of anything, opening of nothing: unpacking a file system works, as far as CAP_MKNOD goes. A user
    // namespace refuses it anyway.
    ...(idRange
      ? []
      : [{ allow: true, type: 'c', access: 'm' } as const, { allow: true, type: 'b', access: 'm' } as const]),
    ...devices.map(({ type, major, minor, access }): OciDeviceRule => ({
      allow: true,
      type,
      major,
      minor,
      access,
    })),
    ...hostConfig.DeviceCgroupRules.map(parseRule),
  ]
}

/** `c 1:3 rwm`, `a *:* rwm` */
function parseRule(text: string): OciDeviceRule {
  const [, type, major, minor, access] = /^([abc]) (\d{1,9}|\*):(\d{1,9}|\*) ([rwm]{1,3})$/.exec(text) ?? []
  if (!access || new Set(access).size !== access.length)
    throw badRequest('HostConfig.DeviceCgroupRules', `invalid device cgroup rule format: '${text}'`)
  const number = (part: string | undefined): number => (part === '*' ? -1 : Number(part))
  return { allow: true, type: type as 'a' | 'b' | 'c', major: number(major), minor: number(minor), access }
}
