/** OCI `linux.resources` (config-linux.md#control-groups) as writes into files of cgroup v1 and v2. */
import { invalid } from '../config/reader.ts'
import { unsupported } from '../config/unsupported.ts'
import { blockIoWrites } from './block-io.ts'
import type { OciResources } from '../config/resources.ts'
import type { CgroupWrite } from '../plan.ts'
import type { FdName } from '../step.ts'

export type { CgroupWrite } from '../plan.ts'

/** Which directory a controller is in; throws where the host lacks it. */
export type DirectoryOf = (controller: string, field: string) => FdName

type Extras = Pick<CgroupWrite, 'otherwise' | 'orAfterNext' | 'usage'>

/** Adds a write. `field` is beneath `linux.resources`. */
export type Put = (
  controller: string,
  file: string,
  value: string | number | bigint,
  ...from: [field: string, extras?: Extras]
) => void

export function resourceWrites(
  resources: OciResources,
  version: 1 | 2,
  directoryOf: DirectoryOf,
): CgroupWrite[] {
  const writes: CgroupWrite[] = []
  const put: Put = (controller, file, value, field, extras) => {
    const path = `linux.resources.${field}`
    writes.push({ as: directoryOf(controller, path), file, value: String(value), field: path, ...extras })
  }
  memoryWrites(resources.memory ?? {}, version, put)
  cpuWrites(resources.cpu ?? {}, version, put)
  if (resources.pids?.limit !== undefined)
    put('pids', 'pids.max', limit(resources.pids.limit, 'max'), 'pids.limit')
  blockIoWrites(resources.blockIO ?? {}, version, put)
  hugepageWrites(resources.hugepageLimits ?? [], version, put)
  networkWrites(resources.network ?? {}, version, put)
  for (const [device, { hcaHandles, hcaObjects }] of Object.entries(resources.rdma ?? {})) {
    if (hcaHandles === undefined && hcaObjects === undefined)
      throw invalid(`linux.resources.rdma.${device}`, 'must give hcaHandles or hcaObjects, or both')
    const limits = [
      hcaHandles !== undefined && `hca_handle=${hcaHandles}`,
      hcaObjects !== undefined && `hca_object=${hcaObjects}`,
    ]
    put('rdma', 'rdma.max', [device, ...limits.filter(Boolean)].join(' '), `rdma.${device}`)
  }
  unifiedWrites(resources.unified ?? {}, version, put)
  return writes
}

function memoryWrites(memory: Memory, version: 1 | 2, put: Put): void {
  const unlimited = (value: number | bigint | undefined): boolean => value !== undefined && BigInt(value) < 0n
  if (memory.kernel && !unlimited(memory.kernel))
    throw unsupported('linux.resources.memory.kernel', 'the kernel has no such limit any more')
  if (version === 2) memoryWritesV2(memory, put)
  else memoryWritesV1(memory, put)
}

type Memory = NonNullable<OciResources['memory']>

function memoryWritesV2(memory: Memory, put: Put): void {
  const { limit: max, reservation, swap, kernelTCP, swappiness, disableOOMKiller } = memory
  if (kernelTCP && kernelTCP > 0)
    throw unsupported('linux.resources.memory.kernelTCP', 'cgroup v2 has no such limit')
  if (swappiness !== undefined)
    throw unsupported('linux.resources.memory.swappiness', 'cgroup v2 has no swappiness')
  if (disableOOMKiller) throw unsupported('linux.resources.memory.disableOOMKiller', 'cgroup v2 cannot')
  // Below what is in use the kernel would kill until it fits; v1 refuses that by itself.
  const usage = memory.checkBeforeUpdate ? { usage: 'memory.current' } : undefined
  if (max) put('memory', 'memory.max', limit(max, 'max'), 'memory.limit', usage)
  if (reservation) put('memory', 'memory.low', limit(reservation, 'max'), 'memory.reservation')
  if (isGiven(swap)) put('memory', 'memory.swap.max', swapOnly(swap, max), 'memory.swap')
  else if (max !== undefined && max < 0)
    put('memory', 'memory.swap.max', 'max', 'memory.limit', { otherwise: null })
}

function memoryWritesV1(memory: Memory, put: Put): void {
  const { limit: max, reservation, swap, kernelTCP, swappiness, disableOOMKiller, useHierarchy } = memory
  const memsw = 'memory.memsw.limit_in_bytes'
  const unlimited = max !== undefined && max < 0
  const both = isGiven(swap) || unlimited
  // Neither may pass the other: which one first depends on where they stood.
  if (max) put('memory', 'memory.limit_in_bytes', max, 'memory.limit', { orAfterNext: both })
  if (isGiven(swap)) put('memory', memsw, memoryAndSwap(swap, max), 'memory.swap')
  else if (unlimited) put('memory', memsw, -1, 'memory.limit', { otherwise: null })
  if (reservation) put('memory', 'memory.soft_limit_in_bytes', reservation, 'memory.reservation')
  if (kernelTCP) put('memory', 'memory.kmem.tcp.limit_in_bytes', kernelTCP, 'memory.kernelTCP')
  if (swappiness !== undefined) put('memory', 'memory.swappiness', swappiness, 'memory.swappiness')
  if (disableOOMKiller) put('memory', 'memory.oom_control', 1, 'memory.disableOOMKiller')
  if (useHierarchy) put('memory', 'memory.use_hierarchy', 1, 'memory.useHierarchy')
}

function isGiven(value: number | bigint | undefined): value is number | bigint {
  return value !== undefined && BigInt(value) !== 0n
}

/** `swap` is memory and swap together (v1's meaning); v2 limits swap alone. */
function swapOnly(swap: number | bigint, max: number | bigint | undefined): string {
  const path = 'linux.resources.memory.swap'
  if (BigInt(swap) === -1n) return 'max'
  if (!max || BigInt(max) === -1n)
    throw invalid(path, 'needs a memory limit: it counts memory and swap together')
  if (BigInt(swap) < BigInt(max))
    throw invalid(path, 'must not be below the memory limit: it counts both together')
  return String(BigInt(swap) - BigInt(max))
}

function memoryAndSwap(swap: number | bigint, max: number | bigint | undefined): string {
  if (BigInt(swap) !== -1n && max && BigInt(swap) < BigInt(max))
    throw invalid(
      'linux.resources.memory.swap',
      'must not be below the memory limit: it counts both together',
    )
  return String(swap)
}

function cpuWrites(cpu: NonNullable<OciResources['cpu']>, version: 1 | 2, put: Put): void {
  const { shares, quota, period, burst, realtimeRuntime, realtimePeriod, cpus, mems, idle } = cpu
  if (version === 2) {
    if (realtimeRuntime)
      throw unsupported('linux.resources.cpu.realtimeRuntime', 'cgroup v2 has no such limit')
    if (realtimePeriod) throw unsupported('linux.resources.cpu.realtimePeriod', 'cgroup v2 has no such limit')
    if (shares) put('cpu', 'cpu.weight', cpuWeight(Number(shares)), 'cpu.shares')
    if (quota || period) {
      const max = quota && quota > 0 ? quota : 'max'
      const orAfterNext = burst !== undefined
      const field = quota ? 'cpu.quota' : 'cpu.period'
      put('cpu', 'cpu.max', `${max} ${period || 100_000}`, field, { orAfterNext })
    }
    // Never above the quota: the larger of the two comes first.
    if (burst !== undefined) put('cpu', 'cpu.max.burst', burst, 'cpu.burst')
  } else {
    if (shares) put('cpu', 'cpu.shares', shares, 'cpu.shares')
    // Each is bounded by what the parent's and the other's old value leave.
    if (period) put('cpu', 'cpu.cfs_period_us', period, 'cpu.period', { orAfterNext: !!quota })
    if (quota) put('cpu', 'cpu.cfs_quota_us', quota, 'cpu.quota', { orAfterNext: burst !== undefined })
    if (burst !== undefined) put('cpu', 'cpu.cfs_burst_us', burst, 'cpu.burst')
    if (realtimePeriod)
      put('cpu', 'cpu.rt_period_us', realtimePeriod, 'cpu.realtimePeriod', { orAfterNext: !!realtimeRuntime })
    if (realtimeRuntime) put('cpu', 'cpu.rt_runtime_us', realtimeRuntime, 'cpu.realtimeRuntime')
  }
  if (idle !== undefined) put('cpu', 'cpu.idle', idle, 'cpu.idle')
  if (cpus) put('cpuset', 'cpuset.cpus', cpus, 'cpu.cpus')
  if (mems) put('cpuset', 'cpuset.mems', mems, 'cpu.mems')
}

/**
 * Shares 2…262144, 1024 by default, to a weight of 1…10000, 100 by default. Linear interpolation would turn the one
 * default into 39; this curve goes through (2, 1), (1024, 100) and (262144, 10000), as runc 1.4 and crun 1.23 do.
 */
export function cpuWeight(shares: number): number {
  if (shares <= 2) return 1
  if (shares >= 262_144) return 10_000
  const log = Math.log2(shares)
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))
}

function hugepageWrites(limits: NonNullable<OciResources['hugepageLimits']>, version: 1 | 2, put: Put): void {
  limits.forEach(({ pageSize, limit: bytes }, index) => {
    const field = `hugepageLimits[${index}]`
    if (!/^[1-9][0-9]*[KMG]B$/.test(pageSize))
      throw invalid(`linux.resources.${field}.pageSize`, `is no page size: ${JSON.stringify(pageSize)}`)
    const [reserved, used] = version === 2 ? ['rsvd.max', 'max'] : ['rsvd.limit_in_bytes', 'limit_in_bytes']
    // Reservations first: they fail with an error at mmap(2), where usage ends in SIGBUS.
    put('hugetlb', `hugetlb.${pageSize}.${reserved}`, bytes, field)
    put('hugetlb', `hugetlb.${pageSize}.${used}`, bytes, field)
  })
}

function networkWrites(network: NonNullable<OciResources['network']>, version: 1 | 2, put: Put): void {
  const { classID, priorities } = network
  if (version === 2) {
    if (classID) throw unsupported('linux.resources.network.classID', 'cgroup v2 has no net_cls')
    if (priorities?.length)
      throw unsupported('linux.resources.network.priorities', 'cgroup v2 has no net_prio')
    return
  }
  if (classID) put('net_cls', 'net_cls.classid', classID, 'network.classID')
  priorities?.forEach(({ name, priority }, index) =>
    put('net_prio', 'net_prio.ifpriomap', `${name} ${priority}`, `network.priorities[${index}]`),
  )
}

/** Any file of any v2 controller, by its own name. */
function unifiedWrites(unified: Record<string, string>, version: 1 | 2, put: Put): void {
  for (const [file, value] of Object.entries(unified)) {
    const path = `linux.resources.unified.${file}`
    if (version === 1) throw unsupported(path, 'it is an invalid configuration on a host with cgroup v1')
    const controller = /^([a-z_]+)\.[A-Za-z0-9_.]+$/.exec(file)?.[1]
    if (!controller) throw invalid(path, 'is no name of a cgroup file')
    // Core files move processes and turn controllers on and off: not a limit, and not the container's to ask for.
    if (controller === 'cgroup' && !/^cgroup\.(max\.depth|max\.descendants|pressure)$/.test(file))
      throw unsupported(path, 'it is no resource')
    put(controller, file, value, `unified.${file}`)
  }
}

/** -1 is "no limit". */
function limit(value: number | bigint, unlimited: string): string {
  return value < 0 ? unlimited : String(value)
}
