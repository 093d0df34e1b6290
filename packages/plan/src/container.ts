import { HoldfastError } from '@holdfast/errors'
import { cgroupDirectories, type CgroupDirectory } from './cgroup/cgroup.ts'
import { checkMapped, IdMaps } from './id-maps.ts'
import { resolveNamespaces, type Namespaces } from './namespaces.ts'
import type { OciConfig } from './config/config.ts'
import type { PlanOptions } from './plan.ts'

/** One container being planned: what every theme reads, resolved once. */
export interface Container {
  readonly config: OciConfig
  readonly options: PlanOptions
  readonly namespaces: Namespaces
  /** It has a file tree of its own, whosever the mount namespace is. */
  readonly ownTree: boolean
  /** It lives in a user namespace that isn't its maker's: its root has no rights over what the host owns. */
  readonly confined: boolean
  /** Nor has whoever makes it: all is made inside its user namespace, with that one's rights. */
  readonly rootless: boolean
  readonly maps: IdMaps
  readonly cgroups: CgroupDirectory[]
  readonly warnings: string[]
}

/** Checks what concerns more than one section; sections were checked when the configuration was read. */
export function resolveContainer(config: OciConfig, options: PlanOptions): Container {
  checkOptions(options)
  const namespaces = resolveNamespaces(config, options)
  const { linux, process } = config
  if (options.rootfs?.idmap && namespaces.origin.user === 'host')
    throw new HoldfastError('HF_BAD_REQUEST', 'an idmapped root needs a user namespace', {
      details: { field: 'rootfs.idmap' },
    })
  checkMapped(linux?.uidMappings, process?.user?.uid ?? 0, 'process.user.uid')
  checkMapped(linux?.gidMappings, process?.user?.gid ?? 0, 'process.user.gid')
  process?.user?.additionalGids?.forEach((gid, index) =>
    checkMapped(linux?.gidMappings, gid, `process.user.additionalGids[${index}]`),
  )
  const warnings: string[] = []
  const rootless = options.host.rootless === true
  if (process?.execCPUAffinity)
    warnings.push('process.execCPUAffinity: is for processes that exec starts, not for the container itself')
  return {
    config,
    options,
    namespaces,
    ownTree: namespaces.origin.mnt === 'new' || namespaces.planted,
    confined: namespaces.origin.user !== 'host' && !rootless,
    rootless,
    maps: new IdMaps(config, namespaces, rootless),
    cgroups: options.cgroups ? [] : cgroupDirectories(config, options),
    warnings,
  }
}

function checkOptions({ id, bundle, stage, cgroupParent }: PlanOptions): void {
  const refuse = (field: string, problem: string): HoldfastError =>
    new HoldfastError('HF_BAD_REQUEST', `${field} ${problem}`, { details: { field } })
  // The id becomes a directory's and a cgroup's name.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(id))
    throw refuse('id', `is no container id: ${JSON.stringify(id)}`)
  for (const [field, path] of Object.entries({ bundle, stage, cgroupParent })) {
    if (!path.startsWith('/')) throw refuse(field, `must be an absolute path, not ${JSON.stringify(path)}`)
  }
}
