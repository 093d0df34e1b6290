import type { SpecHost } from '../spec/index.ts'

/** What this machine can't do for containers, a sentence each, for `docker info`. */
export function hostWarnings({ capabilities, cgroupVersion, swapLimit }: SpecHost): string[] {
  const warnings: string[] = []
  if (!capabilities.includes('CAP_SYS_RESOURCE')) {
    warnings.push(
      'WARNING: CAP_SYS_RESOURCE is missing: hard ulimits cannot be raised, nor OOM scores lowered',
    )
  }
  if (cgroupVersion === 1) {
    warnings.push(
      'WARNING: cgroup v1 is in use: resource limits work as far as it has them; v2 is what Holdfast is made for',
    )
  }
  if (!swapLimit) warnings.push('WARNING: No swap limit support')
  return warnings
}
