/** The instance's part of the cgroup tree, in every hierarchy: for taking away what nobody owns any more. */
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroupMounts } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'

/** Names directly beneath the parent, over all hierarchies. */
export function listCgroups(parent: string): string[] {
  const names = new Set<string>()
  for (const mount of cgroupMounts()) {
    for (const entry of readDirectories(join(mount, parent))) names.add(entry)
  }
  return [...names]
}

/** Kills what is in them and removes them, with all beneath. A directory that is gone is fine. */
export async function removeCgroup(path: string): Promise<void> {
  for (const mount of cgroupMounts()) await removeTree(join(mount, path))
}

async function removeTree(directory: string): Promise<void> {
  if (!existsSync(directory)) return
  for (const name of readDirectories(directory)) await removeTree(join(directory, name))
  const frozen = join(directory, 'freezer.state')
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(directory)
      return
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      // EBUSY: processes, or the kernel hasn't let go of them yet. There is no event to wait for on v1.
      if (!hasCode(error, 'EBUSY') || attempt > 50) throw error
    }
    for (const pid of pidsIn(directory)) killIfThere(pid)
    if (existsSync(frozen)) writeFileSync(frozen, 'THAWED')
    await sleep(20)
  }
}

function readDirectories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

function pidsIn(directory: string): number[] {
  try {
    return readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV', 'ENOTSUP')) return []
    throw error
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}
