import { hasCode } from '@holdfast/errors'
import { access, readFile } from 'node:fs/promises'
import { arch, availableParallelism, hostname, release, totalmem } from 'node:os'

/** What `docker info` says of the machine. */
export interface HostReport {
  /** cgroup controllers that the kernel has: memory, cpu, pids, … */
  controllers: Set<string>
  swapLimit: boolean
  ipv4Forwarding: boolean
  bridgeNfIptables: boolean
  bridgeNfIp6tables: boolean
  kernelVersion: string
  operatingSystem: string
  osVersion: string
  architecture: string
  cpus: number
  memory: number
  name: string
}

export async function readHostReport(): Promise<HostReport> {
  const [v2, v1, osRelease, ipv4Forwarding, bridgeNfIptables, bridgeNfIp6tables, v1Swap] = await Promise.all([
    read('/sys/fs/cgroup/cgroup.controllers'),
    read('/proc/cgroups'),
    read('/etc/os-release'),
    isOne('/proc/sys/net/ipv4/ip_forward'),
    isOne('/proc/sys/net/bridge/bridge-nf-call-iptables'),
    isOne('/proc/sys/net/bridge/bridge-nf-call-ip6tables'),
    exists('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes'),
  ])
  const controllers = new Set(v2 === '' ? enabledV1(v1) : v2.trim().split(' '))
  return {
    controllers,
    swapLimit: v2 === '' ? v1Swap : controllers.has('memory'),
    ipv4Forwarding,
    bridgeNfIptables,
    bridgeNfIp6tables,
    kernelVersion: release(),
    operatingSystem: field(osRelease, 'PRETTY_NAME'),
    osVersion: field(osRelease, 'VERSION_ID'),
    architecture: { x64: 'x86_64', arm64: 'aarch64' }[arch() as string] ?? arch(),
    cpus: availableParallelism(),
    memory: totalmem(),
    name: hostname(),
  }
}

/** `#subsys_name hierarchy num_cgroups enabled`, one line for each. */
function enabledV1(table: string): string[] {
  return table.split('\n').flatMap((line) => {
    const [name = '#', , , enabled] = line.split('\t')
    return enabled === '1' ? [name] : []
  })
}

/** '' where there is no such file: a module isn't loaded, a hierarchy isn't mounted. */
async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return ''
    throw error
  }
}

async function isOne(path: string): Promise<boolean> {
  return (await read(path)).trim() === '1'
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

function field(osRelease: string, name: string): string {
  const value = osRelease.split('\n').find((line) => line.startsWith(`${name}=`))
  return (value?.slice(name.length + 1) ?? '').replace(/^"|"$/g, '')
}
