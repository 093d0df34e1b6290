/** Whether the kernel killed something in a cgroup for want of memory. */
import { readFileSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import type { CgroupHandle } from '../launch/launched.ts'

/** How often, since the cgroup was made; 0 where it has no memory controller. */
export function oomKills(cgroups: CgroupHandle[]): number {
  const memory = cgroups.find((each) => each.controllers.includes('memory'))
  if (!memory) return 0
  const file = memory.as === 'cgroup' ? 'memory.events' : 'memory.oom_control'
  try {
    const match = /^oom_kill (\d+)$/m.exec(readFileSync(`/proc/self/fd/${memory.dirFd}/${file}`, 'latin1'))
    return Number(match?.[1] ?? 0)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return 0 // the cgroup is gone, or has no such controller
    throw error
  }
}
