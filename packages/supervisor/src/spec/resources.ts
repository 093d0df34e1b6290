/** HostConfig's limits as OCI `linux.resources`, with Docker's checks and its words for them. */
import { badRequest, unsupported } from './refuse.ts'
import { deviceRules } from './devices.ts'
import type { HostConfig } from '../engine/container-config.ts'
import type { OciResources } from '@holdfast/plan'
import type { SpecHost, SpecInput } from './spec-input.ts'

const minimumMemory = 6 * 1024 * 1024
const cpuPeriod = 100_000

export function resourcesOf(input: SpecInput): OciResources {
  const { hostConfig, host, blockIO } = input
  const memory = memoryOf(hostConfig, host)
  const cpu = cpuOf(hostConfig, host)
  const { PidsLimit } = hostConfig
  return {
    devices: deviceRules(input),
    ...(memory && { memory }),
    ...(cpu && { cpu }),
    ...(PidsLimit && { pids: { limit: PidsLimit < 0 ? -1 : PidsLimit } }), // 0 and null: as the parent has it
    ...(blockIO && { blockIO }),
  }
}

function memoryOf(host: HostConfig, { cgroupVersion, swapLimit }: SpecHost): OciResources['memory'] {
  const { Memory, MemoryReservation, MemorySwap, MemorySwappiness, OomKillDisable } = host
  const bad = (field: string, message: string): Error => badRequest(`HostConfig.${field}`, message)
  for (const field of ['Memory', 'MemoryReservation'] as const) {
    if (host[field] < 0) throw bad(field, `invalid ${field}: ${host[field]}`)
    if (host[field] > 0 && host[field] < minimumMemory)
      throw bad(field, `Minimum memory ${field === 'Memory' ? 'limit' : 'reservation'} allowed is 6MB`)
  }
  if (MemorySwap < -1) throw bad('MemorySwap', `invalid MemorySwap: ${MemorySwap}`)
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory)
    throw bad('MemorySwap', 'Minimum memoryswap limit should be larger than memory limit, see usage')
  if (Memory === 0 && MemorySwap > 0)
    throw bad('MemorySwap', 'You should always set the Memory limit when using Memoryswap limit, see usage')
  if (Memory > 0 && MemoryReservation > Memory)
    throw bad(
      'MemoryReservation',
      'Minimum memory limit can not be less than memory reservation limit, see usage',
    )
  const swappiness = MemorySwappiness === null || MemorySwappiness === -1 ? undefined : MemorySwappiness
  if (swappiness !== undefined && (swappiness < 0 || swappiness > 100))
    throw bad('MemorySwappiness', `invalid value: ${swappiness}, valid memory swappiness range is 0-100`)
  if (swappiness !== undefined && cgroupVersion === 2)
    throw unsupported('HostConfig.MemorySwappiness', 'cgroup v2 has no swappiness')
  if (OomKillDisable && cgroupVersion === 2)
    throw unsupported('HostConfig.OomKillDisable', 'cgroup v2 cannot turn the OOM killer off')
  const memory: NonNullable<OciResources['memory']> = {
    ...(Memory > 0 && { limit: Memory }),
    ...(MemoryReservation > 0 && { reservation: MemoryReservation }),
    // As much swap as memory, unless said otherwise; -1 is without limit.
    ...(Memory > 0 && swapLimit && { swap: MemorySwap === 0 ? Memory * 2 : MemorySwap }),
    ...(swappiness !== undefined && { swappiness }),
    ...(OomKillDisable && { disableOOMKiller: true }),
  }
  return Object.keys(memory).length > 0 ? memory : undefined
}

function cpuOf(host: HostConfig, facts: SpecHost): OciResources['cpu'] {
  const {
    NanoCpus,
    CpuShares,
    CpuPeriod,
    CpuQuota,
    CpuRealtimePeriod,
    CpuRealtimeRuntime,
    CpusetCpus,
    CpusetMems,
  } = host
  checkCpu(host, facts)
  const quota = NanoCpus > 0 ? Math.floor((NanoCpus * cpuPeriod) / 1e9) : CpuQuota
  const period = NanoCpus > 0 ? cpuPeriod : CpuPeriod
  const cpu: NonNullable<OciResources['cpu']> = {
    ...(CpuShares > 0 && { shares: CpuShares }),
    ...(quota !== 0 && { quota }),
    ...(period !== 0 && { period }),
    ...(CpuRealtimePeriod > 0 && { realtimePeriod: CpuRealtimePeriod }),
    ...(CpuRealtimeRuntime !== 0 && { realtimeRuntime: CpuRealtimeRuntime }),
    ...(CpusetCpus !== '' && { cpus: CpusetCpus }),
    ...(CpusetMems !== '' && { mems: CpusetMems }),
  }
  return Object.keys(cpu).length > 0 ? cpu : undefined
}

function checkCpu(host: HostConfig, { cpus, cpuset, cgroupVersion }: SpecHost): void {
  const { NanoCpus, CpuShares, CpuPeriod, CpuQuota, CpuRealtimePeriod, CpuRealtimeRuntime } = host
  const bad = (field: string, message: string): Error => badRequest(`HostConfig.${field}`, message)
  if (NanoCpus !== 0 && CpuPeriod !== 0)
    throw bad('NanoCpus', 'Conflicting options: Nano CPUs and CPU Period cannot both be set')
  if (NanoCpus !== 0 && CpuQuota !== 0)
    throw bad('NanoCpus', 'Conflicting options: Nano CPUs and CPU Quota cannot both be set')
  if (NanoCpus !== 0 && (NanoCpus < 1e7 || NanoCpus > cpus * 1e9))
    throw bad(
      'NanoCpus',
      `range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`,
    )
  if (CpuShares < 0)
    throw bad('CpuShares', `invalid CPU shares (${CpuShares}): value must be a positive integer`)
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000))
    throw bad(
      'CpuPeriod',
      'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)',
    )
  if (CpuQuota > 0 && CpuQuota < 1000)
    throw bad('CpuQuota', 'CPU cfs quota can not be less than 1ms (i.e. 1000)')
  if (cgroupVersion === 2 && CpuRealtimePeriod !== 0)
    throw unsupported('HostConfig.CpuRealtimePeriod', 'cgroup v2 has no such limit')
  if (cgroupVersion === 2 && CpuRealtimeRuntime !== 0)
    throw unsupported('HostConfig.CpuRealtimeRuntime', 'cgroup v2 has no such limit')
  if (CpuRealtimePeriod !== 0 && CpuRealtimeRuntime > CpuRealtimePeriod)
    throw bad('CpuRealtimeRuntime', 'cpu real-time runtime cannot be higher than cpu real-time period')
  for (const field of ['CpusetCpus', 'CpusetMems'] as const) {
    if (!isNumberList(host[field]))
      throw bad(
        field,
        `Invalid value ${host[field]} for cpuset ${field === 'CpusetCpus' ? 'cpus' : 'mems'}: invalid format: ${host[field]}`,
      )
  }
  checkAvailable('CpusetCpus', 'CPUs', host.CpusetCpus, cpuset.cpus)
  checkAvailable('CpusetMems', 'memory nodes', host.CpusetMems, cpuset.mems)
}

/** `0-2,5`; no range runs backwards. */
function isNumberList(text: string): boolean {
  return (
    text === '' ||
    text.split(',').every((part) => {
      const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? []
      return first !== undefined && Number(first) <= Number(last)
    })
  )
}

function checkAvailable(field: string, noun: string, wanted: string, available: string): void {
  const there = numbersOf(available)
  if (available === '' || numbersOf(wanted).every((number) => there.includes(number))) return
  throw badRequest(
    `HostConfig.${field}`,
    `Requested ${noun} are not available - requested ${wanted}, available: ${available}`,
  )
}

/** `0-2,5` as 0, 1, 2, 5. */
function numbersOf(list: string): number[] {
  return list.split(',').flatMap((part) => {
    const [first = '', last = first] = part.split('-')
    return first === ''
      ? []
      : Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index)
  })
}

/** What of the limits this kernel cannot keep, and leaves out, and what is unwise, in Docker's words. */
export function resourceWarnings({ Memory, OomKillDisable }: HostConfig, { swapLimit }: SpecHost): string[] {
  const warnings: string[] = []
  if (Memory > 0 && !swapLimit)
    warnings.push(
      'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
    )
  if (Memory === 0 && OomKillDisable === true)
    warnings.push(
      'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
    )
  return warnings
}
