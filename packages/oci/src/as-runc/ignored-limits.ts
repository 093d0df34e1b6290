/** Limits of `linux.resources.memory` that runc takes and does not set, with a warning in its place here. */
import type { OciConfig } from '@holdfast/plan'

type Warn = (text: string) => void

const removed = 'the kernel has no such limit any more'
const v1Alone = 'cgroup v2 has no such setting'

/** Field → on which versions of cgroups there is nothing that it sets, and why. Zero, false and -1 ask for nothing. */
const ignored: Readonly<Record<string, { version?: 2; why: string }>> = {
  kernel: { why: removed },
  kernelTCP: { version: 2, why: v1Alone },
  swappiness: { version: 2, why: v1Alone },
  disableOOMKiller: { version: 2, why: v1Alone },
}

/** `linux.resources`, or what `update` reads, without them. */
export function withoutIgnored<Resources>(resources: Resources, version: 1 | 2, warn: Warn): Resources {
  const memory = (resources as { memory?: unknown } | undefined)?.memory
  if (typeof memory !== 'object' || memory === null) return resources
  const kept: Record<string, unknown> = { ...memory }
  for (const [field, { version: only, why }] of Object.entries(ignored)) {
    const value = kept[field]
    if ((only !== undefined && only !== version) || !['number', 'bigint', 'boolean'].includes(typeof value))
      continue
    delete kept[field]
    if (field === 'swappiness' || Number(value) > 0)
      warn(`linux.resources.memory.${field} has no effect: ${why}`)
  }
  return { ...resources, memory: kept }
}

export function withoutIgnoredLimits(config: OciConfig, version: 1 | 2, warn: Warn): OciConfig {
  const { linux } = config
  if (!linux?.resources) return config
  return { ...config, linux: { ...linux, resources: withoutIgnored(linux.resources, version, warn) } }
}
