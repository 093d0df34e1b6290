/** What the container policy must know of this machine. This file reads /proc and /sys. */
import { existsSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, release } from 'node:os'
import { boundingCapabilities } from '@holdfast/core'
import { capabilityNames } from '@holdfast/plan'
import { unsupported } from './refuse.ts'
import type { SpecHost } from './spec-input.ts'

const cgroup2Magic = 0x63677270

export function readSpecHost(): SpecHost {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  return {
    architecture: architecture(),
    cgroupVersion: statfsSync('/sys/fs/cgroup').type === cgroup2Magic ? 2 : 1,
    capabilities: capabilityNames(boundingCapabilities()), // what this process can hand on
    cpus: availableParallelism(),
    cpuset: { cpus: kernelList('cpu'), mems: kernelList('node') },
    swapLimit: countsSwap(),
    kernel: [major, minor],
    thermalThrottle: thermalThrottle(),
  }
}

function architecture(): SpecHost['architecture'] {
  if (process.arch === 'x64') return 'x86_64'
  if (process.arch === 'arm64') return 'aarch64'
  throw unsupported('architecture', `${process.arch} is neither x86_64 nor aarch64`)
}

function thermalThrottle(): string[] {
  const cpus = '/sys/devices/system/cpu'
  return readdirSync(cpus)
    .filter((name) => /^cpu\d+$/.test(name))
    .map((name) => `${cpus}/${name}/thermal_throttle`)
    .filter((path) => existsSync(path))
}

/** `0-3`, of the CPUs or memory nodes that are switched on. */
function kernelList(kind: 'cpu' | 'node'): string {
  const file = `/sys/devices/system/${kind}/online`
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
}

/** Swap accounting is a choice of the kernel's build and command line (`swapaccount=0`): its files are there or not. */
function countsSwap(): boolean {
  const root = '/sys/fs/cgroup'
  if (statfsSync(root).type !== cgroup2Magic) return existsSync(`${root}/memory/memory.memsw.limit_in_bytes`)
  // The root itself has no limits. Whichever cgroup beneath it has one of memory shows whether swap has one too.
  const limited = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(`${root}/${entry.name}/memory.max`))
    .map((entry) => entry.name)
  return limited.length === 0 || limited.some((name) => existsSync(`${root}/${name}/memory.swap.max`))
}
