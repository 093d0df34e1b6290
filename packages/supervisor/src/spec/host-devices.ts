/** The host's device nodes: of `--device`, and all of them for `--privileged`. This file reads /dev. */
import { lstatSync, readdirSync, realpathSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import { badRequest } from './refuse.ts'
import type { HostConfig } from '../engine/container-config.ts'
import type { SpecDevice } from './spec-input.ts'

/** Not devices but file systems, links, or what each container has of its own. */
const notDevices = new Set([
  'console',
  'core',
  'fd',
  'full',
  'hugepages',
  'mqueue',
  'null',
  'ptmx',
  'pts',
  'random',
  'shm',
  'stderr',
  'stdin',
  'stdout',
  'tty',
  'urandom',
  'zero',
  '.lxc',
  '.lxd-mounts',
  '.udev',
])

/** Throws HF_BAD_REQUEST for what isn't a device. A directory stands for all devices in it, as in Docker. */
export function resolveDevices(host: HostConfig): SpecDevice[] {
  const devices = host.Privileged ? devicesBelow('/dev', '/dev', 'rwm') : []
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of host.Devices) {
    const access = CgroupPermissions || 'rwm'
    if (!/^[rwm]{1,3}$/.test(access) || new Set(access).size !== access.length)
      throw badRequest('HostConfig.Devices', `invalid device mode: ${access}`)
    devices.push(...devicesOf(PathOnHost, PathInContainer || PathOnHost, access))
  }
  // One node per path: the last one asked for.
  return [...new Map(devices.map((device) => [device.path, device])).values()]
}

function devicesOf(source: string, target: string, access: string): SpecDevice[] {
  const refuse = (why: string): Error =>
    badRequest(
      'HostConfig.Devices',
      `error gathering device information while adding custom device "${source}": ${why}`,
    )
  if (!source.startsWith('/') || !target.startsWith('/')) throw refuse('the paths must be absolute')
  let path: string
  let stats: Stats
  try {
    path = realpathSync(source)
    stats = lstatSync(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw refuse('no such file or directory')
    throw error
  }
  if (stats.isDirectory()) {
    const devices = devicesBelow(path, target, access)
    if (devices.length > 0) return devices
  }
  const device = deviceOf(stats, target, access)
  if (!device) throw refuse('not a device node')
  return [device]
}

function devicesBelow(directory: string, target: string, access: string): SpecDevice[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    if (directory === '/dev' && notDevices.has(entry.name)) return []
    if (entry.isDirectory()) return devicesBelow(path, join(target, entry.name), access)
    if (!entry.isCharacterDevice() && !entry.isBlockDevice()) return []
    const stats = lstatSync(path, { throwIfNoEntry: false }) // gone since: devices come and go
    return (stats && deviceOf(stats, join(target, entry.name), access)) ?? []
  })
}

function deviceOf(stats: Stats, path: string, access: string): SpecDevice | undefined {
  const type = stats.isBlockDevice() ? 'b' : stats.isCharacterDevice() ? 'c' : undefined
  if (!type) return undefined
  const { mode, uid, gid } = stats
  return { path, type, ...deviceNumber(stats), fileMode: mode & 0o777, uid, gid, access }
}

/** makedev(3): 12 bits of major and 8 of minor below, the rest of both above. */
export function deviceNumber({ rdev }: Pick<Stats, 'rdev'>): { major: number; minor: number } {
  const number = BigInt(rdev)
  return {
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)),
    minor: Number((number & 0xffn) | ((number >> 12n) & 0xffffff00n)),
  }
}
