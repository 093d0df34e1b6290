/**
 * A container's cgroup: one directory on v2, one in each hierarchy on v1. The names of both kinds of hierarchy stay in
 * this file and its siblings `cgroup-*.ts`; everyone else has handles.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
  constants,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { Preparation } from '@holdfast/plan'
import { applyCgroupWrites, applyDeviceRules, writeControl } from './cgroup-control.ts'
import { hasFreezer, isPaused } from './cgroup-freezer.ts'
import { cgroupProcesses, children, joinFile, killCgroup } from './cgroup-members.ts'
import type { CgroupHandle } from '../launch/launched.ts'
import { sleep } from '../sleep.ts'

export { applyCgroupWrites } from './cgroup-control.ts'
export { isPaused, pauseCgroup, resumeCgroup } from './cgroup-freezer.ts'
export { cgroupProcesses, killCgroup } from './cgroup-members.ts'

type MakeCgroup = Extract<Preparation, { do: 'make-cgroup' }>

export interface MadeCgroups {
  handles: CgroupHandle[]
  /** `<as>`: the directory, `<as>:procs`: where a process writes "0" to join. The caller closes them. */
  fds: Record<string, number>
}

export interface Residents {
  /** The cgroup is there already, around this process alone; whoever made it removes it. */
  tenant?: number | undefined
  /** Others may live in it, and keep it. */
  shared?: boolean
}

/** Makes the directories, sets limits and device rules. On failure what it made is removed again. */
export function makeCgroups(preparation: MakeCgroup, { tenant, shared }: Residents = {}): MadeCgroups {
  const handles: CgroupHandle[] = []
  const fds: Record<string, number> = {}
  try {
    for (const { as, path, controllers } of preparation.directories) {
      // A hybrid host has the v2 tree beside the hierarchies of v1, without controllers.
      const version = preparation.version === 2 || controllers.length === 0 ? 2 : 1
      const existed = !makeDirectory(path)
      const dirFd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
      const foreign = existed && tenant === undefined
      handles.push({ as, path, controllers, version, dirFd, ...(foreign && { existed }) })
      if (existed && !shared) refuseMembers(path, tenant)
      if (version === 1 && controllers.includes('cpuset') && existsSync(join(path, 'cpuset.mems')))
        inheritCpuset(path)
      if (preparation.version === 2) enableAbove(path, preparation.enable)
      fds[as] = dirFd
      fds[`${as}:procs`] = openSync(joinFile({ path, version }), 'w')
    }
    if (handles.some(({ existed }) => existed)) refuseFrozen(handles)
    applyCgroupWrites(handles, preparation.writes)
    applyDeviceRules(handles, preparation.devices, preparation.version)
    if (preparation.owner !== undefined) delegate(handles, preparation.owner)
    return { handles, fds }
  } catch (error) {
    for (const [name, fd] of Object.entries(fds)) if (name.endsWith(':procs')) closeSync(fd)
    for (const handle of handles) {
      closeSync(handle.dirFd)
      if (!handle.existed && tenant === undefined) removeTree(handle.path)
    }
    throw error
  }
}

/**
 * A create that was killed leaves processes that are just about to end in the very cgroup that the next one makes:
 * waits a moment for an existing cgroup to become empty. Who still lives there then is somebody else: their pids.
 */
export async function vacatedCgroup(
  preparations: readonly Preparation[],
  timeoutMs = 1000,
): Promise<number[]> {
  const directories = preparations.find((each) => each.do === 'make-cgroup')?.directories ?? []
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const members = directories
      .filter(({ path }) => existsSync(path))
      .flatMap((each) => cgroupProcesses([each]))
    if (members.length === 0 || performance.now() >= deadline) return [...new Set(members)]
    await sleep(5)
  }
}

/** False where it was there. Parents are made too. */
function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path)
    chmodSync(path, 0o755) // whatever the umask: the container's root, another user here, looks into its cgroup
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    if (!hasCode(error, 'ENOENT')) throw error
    makeDirectory(dirname(path))
    return makeDirectory(path)
  }
  return true
}

/** cgroups(7), "cgroups delegation": the directory, and those files that the kernel says a delegatee may write. */
function delegate(handles: CgroupHandle[], owner: number): void {
  const files = readFileSync('/sys/kernel/cgroup/delegate', 'latin1').trim().split('\n')
  for (const { path, version } of handles) {
    if (version !== 2) continue
    // Its group stays: the specification speaks of the user alone.
    for (const name of ['.', ...files.filter((file) => existsSync(join(path, file)))]) {
      const at = join(path, name)
      chownSync(at, owner, statSync(at).gid)
    }
  }
}

/** Controllers are switched on from the hierarchy's root down to the directory's parent. */
function enableAbove(path: string, controllers: readonly string[]): void {
  const above: string[] = []
  for (let level = dirname(path); existsSync(join(level, 'cgroup.subtree_control')); level = dirname(level)) {
    above.unshift(level)
  }
  for (const level of above) enableControllers(level, controllers)
}

function enableControllers(path: string, controllers: readonly string[]): void {
  const file = join(path, 'cgroup.subtree_control')
  const present = new Set(readFileSync(file, 'latin1').trim().split(' '))
  const missing = controllers.filter((controller) => !present.has(controller))
  for (const controller of missing) writeControl(file, [`+${controller}`], `cgroup controller ${controller}`)
}

/**
 * A new v1 cpuset is empty, and nothing can join it so; nor one whose parents somebody else left empty. On v2 an empty
 * one has what its parent has.
 */
function inheritCpuset(path: string): void {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (readFileSync(join(path, name), 'latin1').trim() !== '') continue
    inheritCpuset(dirname(path)) // the root of the hierarchy has all of them
    writeFileSync(join(path, name), readFileSync(join(dirname(path), name)), { flag: 'r+' })
  }
}

/** An existing cgroup with processes belongs to someone: its limits would change under them, and it under ours. */
function refuseMembers(path: string, tenant: number | undefined): void {
  const members = readFileSync(join(path, 'cgroup.procs'), 'latin1').trim()
  if (members === '' || members === String(tenant)) return
  throw new HoldfastError(
    'HF_INVALID_CONFIG',
    `container's cgroup is not empty: ${path} already has processes in it`,
    {
      hint: 'Choose another linux.cgroupsPath.',
      details: { path: 'linux.cgroupsPath' },
    },
  )
}

/** A process that is born frozen never comes to say so. */
export function refuseFrozen(handles: readonly Omit<CgroupHandle, 'dirFd'>[]): void {
  if (!hasFreezer(handles) || !isPaused(handles)) return
  throw new HoldfastError(
    'HF_INVALID_CONFIG',
    `container's cgroup unexpectedly frozen: ${handles[0]!.path}`,
    {
      hint: 'Thaw it, or choose another linux.cgroupsPath.',
      details: { path: 'linux.cgroupsPath' },
    },
  )
}

/**
 * Removes the directories, and those that the container made beneath them. Processes that are still ending keep a
 * cgroup busy: it kills what is left, waits, and gives up after `timeoutMs` with EBUSY. Missing ones are fine; one
 * that was there before stays if others live in it.
 */
export async function removeCgroups(
  cgroups: readonly Pick<CgroupHandle, 'path' | 'existed'>[],
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let waitMs = 1
  for (const cgroup of cgroups) {
    for (;;) {
      try {
        removeTree(cgroup.path)
        break
      } catch (error) {
        if (!hasCode(error, 'EBUSY')) throw error
        if (cgroup.existed) break // and others live in it
        if (performance.now() > deadline) throw error
        killCgroup([cgroup])
        await sleep(waitMs)
        waitMs = Math.min(waitMs * 2, 50)
      }
    }
  }
}

function removeTree(path: string): void {
  try {
    removeDirectory(path)
  } catch (error) {
    if (!hasCode(error, 'EBUSY', 'ENOTEMPTY')) throw error
    for (const child of childrenLeft(path)) removeTree(child)
    removeDirectory(path)
  }
}

/** systemd may remove it at the same time, where it is a unit's. */
function removeDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

function childrenLeft(path: string): string[] {
  try {
    return children(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}
