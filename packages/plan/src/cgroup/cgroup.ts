/** The container's cgroup: where it lies, and what is written into it. */
import { HoldfastError } from '@holdfast/errors'
import { invalid } from '../config/reader.ts'
import { defaultDeviceRules } from '../mounts/devices.ts'
import { hostId } from '../id-maps.ts'
import { normalize } from '../paths.ts'
import { resourceWrites } from './resources.ts'
import type { OciConfig } from '../config/config.ts'
import type { OciDevice } from '../config/linux.ts'
import type { OciDeviceRule } from '../config/resources.ts'
import type { Container } from '../container.ts'
import type { DeviceRule, PlanOptions, Preparation } from '../plan.ts'
import type { FdName } from '../step.ts'

export interface CgroupDirectory {
  as: FdName
  /** Absolute, on the host. */
  path: string
  controllers: string[]
  /** The hierarchy's mount point. */
  mount: string
}

/** The same place in every hierarchy. */
export function cgroupDirectories(config: OciConfig, options: PlanOptions): CgroupDirectory[] {
  const beneath = cgroupPath(config, options)
  const { cgroup } = options.host
  if (cgroup.version === 2) {
    const { mount, controllers } = cgroup
    return [{ as: 'cgroup', path: mount + beneath, controllers, mount }]
  }
  // All of them: a process left behind in one hierarchy would show the host's tree through its cgroup namespace.
  return cgroup.hierarchies.map(({ controllers, mount }) => ({
    as: `cgroup:${controllers.length === 0 ? 'unified' : controllers.join(',')}`,
    path: mount + beneath,
    controllers,
    mount,
  }))
}

/** config-linux.md#cgroups-path: absolute beneath the mount point; relative ones, and none, beneath our own parent. */
function cgroupPath({ linux }: OciConfig, { id, cgroupParent }: PlanOptions): string {
  const asked = linux?.cgroupsPath || id
  const path = asked.startsWith('/') ? asked : `${cgroupParent === '/' ? '' : cgroupParent}/${asked}`
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw invalid('linux.cgroupsPath', 'must not contain ".."')
  if (parts.length === 0) throw invalid('linux.cgroupsPath', 'must not be the root of the hierarchy')
  return `/${parts.join('/')}`
}

export function cgroupPreparation({
  config,
  options,
  cgroups: directories,
  namespaces,
  rootless,
}: Container): Preparation {
  const { cgroup } = options.host
  const delegated = cgroup.version === 2 && namespaces.origin.cgroup === 'new' && mountsWritable(config)
  const resources = config.linux?.resources ?? {}
  return {
    do: 'make-cgroup',
    version: cgroup.version,
    directories: directories.map(({ as, path, controllers }) => ({ as, path, controllers })),
    enable: cgroup.version === 2 ? cgroup.controllers : [],
    writes: resourceWrites(resources, cgroup.version, (controller, field) => {
      const directory = directories.find(({ controllers }) => controllers.includes(controller))
      if (!directory) throw missingController(controller, field)
      return directory.as
    }),
    // The kernel takes rules of nobody but the host's root, and nobody else makes nodes that they would be about.
    devices: rootless ? [] : deviceRules(resources.devices ?? [], config.linux?.devices ?? []),
    ...(delegated && { owner: hostId(config.linux?.uidMappings, config.process?.user?.uid ?? 0) }),
  }
}

/**
 * config-linux.md#cgroup-ownership: the container's user owns its cgroup where it could write to it anyway: a cgroup
 * namespace of its own, on v2, mounted writable.
 */
function mountsWritable({ mounts = [] }: OciConfig): boolean {
  const mount = mounts.findLast(({ destination }) => normalize(destination) === '/sys/fs/cgroup')
  return (
    mount !== undefined &&
    /^cgroup2?$/.test(mount.type ?? '') &&
    !mount.options?.some((each) => /^r?ro$/.test(each))
  )
}

function missingController(controller: string, field: string): HoldfastError {
  return new HoldfastError(
    'HF_UNSUPPORTED',
    `${field} is not supported: this host has no ${controller} controller`,
    {
      hint: 'Leave the field out, or enable the controller (see /proc/cgroups and cgroup.controllers).',
      details: { field, path: field, controller },
    },
  )
}

/**
 * The rules as listed, with three additions: nothing is allowed that no rule names; the default devices work whatever
 * the rules say, since the specification has them supplied always; and the nodes that are asked for can be made
 * (mknod(2) asks the cgroup too), which is not yet to open them.
 */
export function deviceRules(rules: OciDeviceRule[], nodes: OciDevice[]): DeviceRule[] {
  const everything: DeviceRule = { allow: false, type: 'a', major: '*', minor: '*', access: 'rwm' }
  const listed = rules.flatMap((rule): DeviceRule[] => {
    const { allow, access = 'rwm' } = rule
    const type = rule.type || 'a'
    if (access === '') return []
    const [major, minor] = [deviceNumber(rule.major), deviceNumber(rule.minor)]
    // A rule of type `a` is about every device, whatever numbers stand beside it (cgroup-v1/devices.rst).
    if (type === 'a' && major === '*' && minor === '*') return [{ allow, type, major, minor, access }]
    const types = type === 'a' ? (['b', 'c'] as const) : [type]
    return types.map((each) => ({ allow, type: each, major, minor, access }))
  })
  const deniesFirst = listed[0]?.type === 'a' && !listed[0].allow
  const makeable = nodes.flatMap(({ type, major = 0, minor = 0 }): DeviceRule[] =>
    type === 'p' ? [] : [{ allow: true, type: type === 'b' ? 'b' : 'c', major, minor, access: 'm' }],
  )
  return [...(deniesFirst ? [] : [everything]), ...listed, ...makeable, ...defaultDeviceRules]
}

function deviceNumber(number: number | undefined): number | '*' {
  return number === undefined || number === -1 ? '*' : number
}
