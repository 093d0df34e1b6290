/** Who is in a cgroup, and how a process gets in. */
import { constants, existsSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode } from '@holdfast/errors'
import type { CgroupRecord } from '../launch/launched.ts'

/**
 * Where a process writes "0" to join by itself. On v1 that is `tasks`: a single thread that moves itself needs no
 * lock of the machine's, where a write to cgroup.procs waits for an RCU grace period.
 */
export function joinFile({ path, version }: Pick<CgroupRecord, 'path' | 'version'>): string {
  return join(path, version === 2 ? 'cgroup.procs' : 'tasks')
}

/** The v2 directory among them: a process can be born in it (CLONE_INTO_CGROUP), where joining takes milliseconds. */
export function birthCgroup<Cgroup extends CgroupRecord>(cgroups: readonly Cgroup[]): Cgroup | undefined {
  return cgroups.find(({ version }) => version === 2)
}

/**
 * The v2 directory for one more process, opened: the container's, or the one that its init has moved to. An init that
 * manages cgroups itself (systemd) leaves the container's without processes, and the kernel then lets none in.
 */
export function openMemberDirectory({ path }: CgroupRecord, initPid: number): number {
  const controlled = readFileSync(join(path, 'cgroup.subtree_control'), 'latin1').trim() !== ''
  return openSync(controlled ? directoryOf(path, initPid) : path, constants.O_RDONLY | constants.O_DIRECTORY)
}

/** Where a member of the cgroup at `path` is now, at or beneath it. */
function directoryOf(path: string, pid: number): string {
  const now = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))?.[1] ?? ''
  // The kernel counts from the hierarchy's root, `path` from `/`: the longest end of `path` that fits is the same part.
  for (let at = 0; at >= 0; at = path.indexOf('/', at + 1)) {
    const part = path.slice(at)
    if (now === part || now.startsWith(`${part}/`)) return path + now.slice(part.length)
  }
  return path
}

/** Host pids of all processes in the cgroup and those beneath it, each once. */
export function cgroupProcesses(cgroups: readonly Pick<CgroupRecord, 'path'>[]): number[] {
  const pids = new Set<number>()
  // Each hierarchy has all of them; the first that exists is enough.
  const first = cgroups[0]
  if (first !== undefined) collect(first.path, pids)
  return [...pids].sort((a, b) => a - b)
}

function collect(path: string, pids: Set<number>): void {
  try {
    for (const line of readFileSync(join(path, 'cgroup.procs'), 'latin1').split('\n')) {
      // 0: a process that our own pid namespace doesn't have.
      if (line !== '' && line !== '0') pids.add(Number(line))
    }
    for (const child of children(path)) collect(child, pids)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENODEV')) throw error
  }
}

export function children(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(path, entry.name))
}

/** SIGKILL to everything in the cgroup, if it is still there. A frozen one must be resumed first on v1. */
export function killCgroup(cgroups: readonly Pick<CgroupRecord, 'path'>[]): void {
  const unified = cgroups.find((cgroup) => hasKillSwitch(cgroup.path))
  if (unified !== undefined && cgroups.length === 1) {
    try {
      writeFileSync(join(unified.path, 'cgroup.kill'), '1', { flag: 'r+' })
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENODEV')) throw error
    }
    return
  }
  // A fork may escape one round; whoever waits for the cgroup to empty calls again.
  for (const pid of cgroupProcesses(cgroups)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      if (!hasCode(error, 'ESRCH')) throw error
    }
  }
}

/** Linux 5.14. */
function hasKillSwitch(path: string): boolean {
  return existsSync(join(path, 'cgroup.kill'))
}
