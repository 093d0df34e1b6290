/** Which of its namespaces a container makes, joins, or shares with the host, and how it gets there. */
import { invalid } from './config/reader.ts'
import { unsupported } from './config/unsupported.ts'
import { fromBundle, normalize } from './paths.ts'
import type { OciConfig } from './config/config.ts'
import type { PlanOptions, Preparation } from './plan.ts'
import type { FdName, NamespaceType, Step, TimeOffset } from './step.ts'

export type Origin = 'new' | 'joined' | 'host'

export interface Namespaces {
  origin: Record<NamespaceType, Origin>
  /** The mount namespace is not its own, and yet the container has a root: it is mounted there, for its lifetime. */
  planted: boolean
  /** Of those that are joined: where it lies, and the JSON path of the field that says so. */
  joined: Partial<Record<NamespaceType, { path: string; field: string }>>
}

const kernelNames = {
  cgroup: 'cgroup',
  ipc: 'ipc',
  mount: 'mnt',
  network: 'net',
  pid: 'pid',
  time: 'time',
  user: 'user',
  uts: 'uts',
} as const satisfies Record<string, NamespaceType>

/** In this order: those of a foreign owner while the host's rights last, the user namespace last of all. */
const joinOrder: NamespaceType[] = ['mnt', 'net', 'ipc', 'uts', 'pid', 'cgroup', 'time']

/** clone3(2) makes these for the init; user, cgroup and time come otherwise. */
const clonedTypes: NamespaceType[] = ['mnt', 'net', 'ipc', 'uts', 'pid']

export function resolveNamespaces(config: OciConfig, options: PlanOptions): Namespaces {
  const origin: Record<NamespaceType, Origin> = {
    cgroup: 'host',
    ipc: 'host',
    mnt: 'host',
    net: 'host',
    pid: 'host',
    time: 'host',
    user: 'host',
    uts: 'host',
  }
  const joined: Namespaces['joined'] = {}
  for (const [index, each] of (config.linux?.namespaces ?? []).entries()) {
    const type = kernelNames[each.type]
    origin[type] = each.path ? 'joined' : 'new'
    if (each.path) joined[type] = { path: each.path, field: `linux.namespaces[${index}].path` }
  }
  const planted = origin.mnt !== 'new' && hasPlantableRoot(config, options)
  if (planted && origin.mnt === 'host') joined.mnt = { path: '/proc/self/ns/mnt', field: 'linux.namespaces' }
  const namespaces = { origin, joined, planted }
  checkCombinations(config, namespaces)
  return namespaces
}

/** One that is the host's own is taken as it stands. */
function hasPlantableRoot({ root }: OciConfig, { plants, bundle }: PlanOptions): boolean {
  return plants === true && root !== undefined && normalize(fromBundle(bundle, root.path)) !== '/'
}

/** Everything that asks for a namespace the container doesn't have. */
function checkCombinations(config: OciConfig, { origin, planted }: Namespaces): void {
  const { linux } = config
  const mapped = !!linux?.uidMappings?.length || !!linux?.gidMappings?.length
  if (origin.user === 'new') {
    if (!linux?.uidMappings?.length)
      throw invalid('linux.uidMappings', 'is missing: a new user namespace has no ids without')
    if (!linux.gidMappings?.length)
      throw invalid('linux.gidMappings', 'is missing: a new user namespace has no ids without')
  } else if (origin.user === 'host' && mapped) {
    throw invalid('linux.uidMappings', 'needs a user namespace in linux.namespaces')
  }
  if (origin.uts === 'host') {
    if (config.hostname)
      throw invalid('hostname', 'needs a uts namespace in linux.namespaces: it would change the host')
    if (config.domainname)
      throw invalid('domainname', 'needs a uts namespace in linux.namespaces: it would change the host')
  }
  if (Object.keys(linux?.timeOffsets ?? {}).length > 0 && origin.time !== 'new')
    throw invalid(
      'linux.timeOffsets',
      'needs a new time namespace: offsets are fixed with the first process in one',
    )
  if (planted && origin.user !== 'host')
    throw unsupported(
      'root.path',
      "a user namespace has no rights over a mount namespace that isn't its own",
      'List a mount namespace without a path in linux.namespaces.',
    )
  if (origin.mnt !== 'new' && !planted) refuseMountWork(config, origin.mnt)
}

/**
 * A mount namespace that is the host's or another container's is taken as it stands: everything made in it would be
 * seen by those who live there, and would stay when this container is gone.
 */
function refuseMountWork(config: OciConfig, origin: Origin): void {
  const { root, linux, mounts } = config
  const why = `the mount namespace is ${origin === 'host' ? "the host's" : "another's"} and is taken as it stands`
  const hint = 'List a mount namespace without a path in linux.namespaces, or leave the field out.'
  if (root && root.path !== '/') throw unsupported('root.path', `${why}, with its own root`, hint)
  if (root?.readonly) throw unsupported('root.readonly', why, hint)
  if (mounts?.length) throw unsupported('mounts', why, hint)
  if (linux?.devices?.length) throw unsupported('linux.devices', why, hint)
  if (linux?.maskedPaths?.length) throw unsupported('linux.maskedPaths', why, hint)
  if (linux?.readonlyPaths?.length) throw unsupported('linux.readonlyPaths', why, hint)
  if (linux?.rootfsPropagation) throw unsupported('linux.rootfsPropagation', why, hint)
}

export function namespacePreparations({ joined }: Namespaces, foreign: Set<NamespaceType>): Preparation[] {
  return [...joinOrder, 'user' as const].flatMap((namespace) => {
    const at = joined[namespace]
    if (at === undefined) return []
    const as = namespaceFd(namespace)
    return [{ do: 'open-namespace', namespace, ...at, as, ...(foreign.has(namespace) && { notOurs: true }) }]
  })
}

export function namespaceFd(type: NamespaceType): FdName {
  return type === 'user' ? 'userns' : `ns:${type}`
}

/** Joins what others own: the host's rights reach every namespace, the container's only those of its own owner. */
export function joinForeign({ origin, planted }: Namespaces): Step[] {
  return joinOrder
    .filter((type) => origin[type] === 'joined' && !(type === 'mnt' && planted)) // that one comes last of all
    .map((type) => ({ do: 'join', namespace: type, fd: namespaceFd(type) }))
}

/** Enters the user namespace, new or another's, as its root. */
export function enterUserNamespace({ origin }: Namespaces, rootless: boolean): Step[] {
  if (origin.user === 'host') return []
  return [
    { do: 'join', namespace: 'user', fd: namespaceFd('user') },
    { do: 'become-root', ...(rootless && { rootless }) },
  ]
}

/** time_namespaces(7): only children enter it, and offsets are fixed once the first is in. */
export function newTimeNamespace({ origin }: Namespaces, config: OciConfig): Step[] {
  if (origin.time !== 'new') return []
  const { monotonic, boottime } = config.linux?.timeOffsets ?? {}
  const steps: Step[] = [{ do: 'unshare', namespaces: ['time'] }]
  if (monotonic || boottime) {
    steps.push({
      do: 'time-offsets',
      ...(monotonic && { monotonic: offset(monotonic, 'linux.timeOffsets.monotonic') }),
      ...(boottime && { boottime: offset(boottime, 'linux.timeOffsets.boottime') }),
    })
  }
  return steps
}

/** The kernel stops at KTIME_MAX / 2 seconds, about 146 years, either way. */
const offsetLimit = 2 ** 62 / 1e9

function offset(value: { secs?: number | bigint; nanosecs?: number }, path: string): TimeOffset {
  const secs = Number(value.secs ?? 0)
  if (Math.abs(secs) > offsetLimit)
    throw invalid(`${path}.secs`, 'is more than the 146 years that the kernel takes')
  return { secs, nanosecs: value.nanosecs ?? 0 }
}

/** New namespaces that the init is born in, owned by the user namespace that was just entered. */
export function clonedNamespaces({ origin }: Namespaces): NamespaceType[] {
  return clonedTypes.filter((type) => origin[type] === 'new')
}
