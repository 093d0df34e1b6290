/** A container's usage in runc's shape (types.Stats), from cgroup v1 or v2. Times in nanoseconds, sizes in bytes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import type { ContainerRecord } from '../store.ts'

export function readStats(record: ContainerRecord): object {
  const read = reader(record)
  return {
    cpu: record.cgroupVersion === 2 ? cpuUnified(read) : cpuLegacy(read),
    cpuset: {},
    memory: record.cgroupVersion === 2 ? memoryUnified(read) : memoryLegacy(read),
    pids: { current: read.number('pids', 'pids.current'), limit: limitOf(read.text('pids', 'pids.max')) },
    blkio: {},
    hugetlb: {},
    intel_rdt: {},
    network_interfaces: null,
  }
}

/** How often the kernel killed in it for want of memory. */
export function oomKillsOf(record: ContainerRecord): number {
  const file = record.cgroupVersion === 2 ? 'memory.events' : 'memory.oom_control'
  return keysOf(reader(record).text('memory', file))['oom_kill'] ?? 0
}

interface Reader {
  /** '' where this host has no such controller or file. */
  text(controller: string, file: string): string
  number(controller: string, file: string): number
}

function reader({ cgroups, cgroupVersion }: ContainerRecord): Reader {
  const text = (controller: string, file: string): string => {
    const cgroup =
      cgroupVersion === 2 ? cgroups[0] : cgroups.find(({ controllers }) => controllers.includes(controller))
    if (!cgroup) return ''
    try {
      return readFileSync(join(cgroup.path, file), 'latin1')
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENODEV', 'ENOTSUP')) return ''
      throw error
    }
  }
  return { text, number: (controller, file) => Number(text(controller, file)) || 0 }
}

function keysOf(text: string): Record<string, number> {
  const pairs = text.split('\n').flatMap((line) => {
    const [key, value] = line.split(' ')
    return key && value !== undefined ? [[key, Number(value)] as const] : []
  })
  return Object.fromEntries(pairs)
}

function limitOf(text: string): number {
  return text.trim() === 'max' ? 0 : Number(text) || 0
}

function cpuLegacy(read: Reader): object {
  const { nr_periods = 0, nr_throttled = 0, throttled_time = 0 } = keysOf(read.text('cpu', 'cpu.stat'))
  const { user = 0, system = 0 } = keysOf(read.text('cpuacct', 'cpuacct.stat'))
  const percpu = read.text('cpuacct', 'cpuacct.usage_percpu').trim()
  return {
    usage: {
      total: read.number('cpuacct', 'cpuacct.usage'),
      percpu: percpu === '' ? [] : percpu.split(' ').map(Number),
      kernel: system * tickNs,
      user: user * tickNs,
      ...perCpu(read.text('cpuacct', 'cpuacct.usage_all')),
    },
    throttling: { periods: nr_periods, throttledPeriods: nr_throttled, throttledTime: throttled_time },
  }
}

/** A head, then a line for each processor: its number, user, system. */
function perCpu(text: string): object {
  const rows = text.split('\n').slice(1).filter(Boolean)
  if (rows.length === 0) return {}
  const column = (index: number): number[] => rows.map((row) => Number(row.split(' ')[index]))
  return { percpu_user: column(1), percpu_kernel: column(2) }
}

/** cpuacct.stat counts in USER_HZ, 100 on every architecture here. */
const tickNs = 1e7

function cpuUnified(read: Reader): object {
  const stat = keysOf(read.text('cpu', 'cpu.stat'))
  const ns = (name: string): number => (stat[name] ?? 0) * 1000
  return {
    usage: { total: ns('usage_usec'), kernel: ns('system_usec'), user: ns('user_usec') },
    throttling: {
      periods: stat['nr_periods'] ?? 0,
      throttledPeriods: stat['nr_throttled'] ?? 0,
      throttledTime: ns('throttled_usec'),
    },
  }
}

function memoryLegacy(read: Reader): object {
  const raw = keysOf(read.text('memory', 'memory.stat'))
  const entry = (prefix: string): object => ({
    limit: read.number('memory', `${prefix}.limit_in_bytes`),
    usage: read.number('memory', `${prefix}.usage_in_bytes`),
    max: read.number('memory', `${prefix}.max_usage_in_bytes`),
    failcnt: read.number('memory', `${prefix}.failcnt`),
  })
  return {
    cache: raw['total_cache'] ?? raw['cache'] ?? 0,
    usage: entry('memory'),
    swap: entry('memory.memsw'),
    kernel: entry('memory.kmem'),
    kernelTCP: entry('memory.kmem.tcp'),
    raw,
  }
}

function memoryUnified(read: Reader): object {
  const raw = keysOf(read.text('memory', 'memory.stat'))
  const limit = (file: string): number =>
    read.text('memory', file).trim() === 'max' ? Number.MAX_SAFE_INTEGER : read.number('memory', file)
  const usage = read.number('memory', 'memory.current')
  return {
    cache: raw['file'] ?? 0,
    usage: { limit: limit('memory.max'), usage, max: read.number('memory', 'memory.peak'), failcnt: 0 },
    swap: {
      limit: limit('memory.swap.max'),
      usage: usage + read.number('memory', 'memory.swap.current'),
      failcnt: 0,
    },
    kernel: { limit: 0, usage: raw['kernel'] ?? 0, failcnt: 0 },
    kernelTCP: { limit: 0, usage: raw['sock'] ?? 0, failcnt: 0 },
    raw,
  }
}
