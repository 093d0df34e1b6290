/**
 * A helper outlives the call that started it, and must not hold that caller's cgroup: podman removes the one of its
 * monitor, a unit that is stopped waits for its members. It moves to the top of each hierarchy, where that is allowed.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import { cgroupMounts } from './host.ts'

export function leaveCallersCgroup(): void {
  let mounts: string[]
  try {
    mounts = cgroupMounts()
  } catch (error) {
    if (!hasCode(error, 'HF_UNSUPPORTED')) throw error
    return // no cgroups at all: nothing to leave
  }
  // Each line: hierarchy, controllers, path. Where every path is / there is nothing to leave.
  if (!/^\d+:[^:]*:\/./m.test(readFileSync('/proc/self/cgroup', 'latin1'))) return
  for (const mount of mounts) {
    // The root of a namespace, not of the hierarchy: with a member it could hand on no controllers.
    if (existsSync(join(mount, 'cgroup.type'))) continue
    try {
      writeFileSync(join(mount, 'cgroup.procs'), String(process.pid), { flag: 'r+' })
    } catch (error) {
      // Read-only, delegated, or a namespace's root with controllers: it stays where it is.
      if (!hasCode(error, 'EACCES', 'EPERM', 'EROFS', 'EBUSY', 'ENOENT', 'ENOTSUP')) throw error
    }
  }
}
