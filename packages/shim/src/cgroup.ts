/**
 * A container's cgroup: one directory on v2, one in each hierarchy on v1. The names of both kinds of hierarchy stay in
 * this file and in `cgroup-freezer.ts`; everyone else has handles.
 */
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeFileSync, constants } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { attachDeviceFilter } from '@holdfast/core'
import { HoldfastError, SyscallError, hasCode } from '@holdfast/errors'
import type { DeviceRule, Preparation } from '@holdfast/plan'
import type { CgroupHandle } from './launched.ts'

export { isPaused, pauseCgroup, resumeCgroup } from './cgroup-freezer.ts'

type MakeCgroup = Extract<Preparation, { do: 'make-cgroup' }>

export interface MadeCgroups {
  handles: CgroupHandle[]
  /** `<as>`: the directory, `<as>:procs`: where a process writes "0" to join. The caller closes them. */
  fds: Record<string, number>
}

/** Makes the directories, sets limits and device rules. On failure what it made is removed again. */
export function makeCgroups(preparation: MakeCgroup): MadeCgroups {
  const handles: CgroupHandle[] = []
  const fds: Record<string, number> = {}
  try {
    for (const directory of preparation.directories) {
      const existed = existsSync(directory.path)
      makeDirectory(directory.path, directory.controllers, preparation)
      const dirFd = openSync(directory.path, constants.O_RDONLY | constants.O_DIRECTORY)
      handles.push({ ...directory, dirFd, ...(existed && { existed }) })
      refuseMembers(directory.path)
      fds[directory.as] = dirFd
      fds[`${directory.as}:procs`] = openSync(joinFile(directory.path), 'w')
    }
    applyCgroupWrites(handles, preparation.writes)
    applyDeviceRules(handles, preparation.devices, preparation.version)
    return { handles, fds }
  } catch (error) {
    for (const [name, fd] of Object.entries(fds)) if (name.endsWith(':procs')) closeSync(fd)
    for (const handle of handles) {
      closeSync(handle.dirFd)
      if (!handle.existed) removeTree(handle.path)
    }
    throw error
  }
}

/**
 * Where a process writes "0" to join by itself. On v1 that is `tasks`: a single thread that moves itself needs no
 * lock of the machine's, where a write to cgroup.procs waits for an RCU grace period.
 */
export function joinFile(path: string): string {
  return join(path, existsSync(join(path, 'cgroup.controllers')) ? 'cgroup.procs' : 'tasks')
}

/** The v2 directory among them: a process can be born in it (CLONE_INTO_CGROUP), where joining takes milliseconds. */
export function birthCgroup(cgroups: readonly CgroupHandle[]): CgroupHandle | undefined {
  return cgroups.find(({ path }) => existsSync(join(path, 'cgroup.controllers')))
}

/**
 * The v2 directory for one more process, opened: the container's, or the one that its init has moved to. An init that
 * manages cgroups itself (systemd) leaves the container's without processes, and the kernel then lets none in.
 */
export function openMemberDirectory({ path }: CgroupHandle, initPid: number): number {
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

/** Sets limits, in order. `field` names the configuration's field in the error. */
export function applyCgroupWrites(
  cgroups: readonly Pick<CgroupHandle, 'as' | 'path'>[],
  writes: MakeCgroup['writes'],
): void {
  for (const { as, file, value, field } of writes) {
    const directory = cgroups.find((each) => each.as === as)
    if (directory === undefined) throw new HoldfastError('HF_INTERNAL', `no cgroup directory is named ${as}`)
    writeControl(join(directory.path, file), value, field)
  }
}

function writeControl(path: string, value: string, field: string): void {
  try {
    writeFileSync(path, value, { flag: 'r+' })
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error)) throw error
    const { errno, code, syscall } = error as NodeJS.ErrnoException
    throw new SyscallError({
      errno: -(errno ?? 0),
      code: code ?? 'EIO',
      syscall: syscall ?? 'write',
      path,
      step: `${field}: ${value}`,
      hint: controlHints[code ?? ''],
    })
  }
}

const controlHints: Partial<Record<string, string>> = {
  ENOENT: 'The kernel, or this cgroup hierarchy, does not have this control; leave the limit out.',
  EACCES: 'The kernel, or this cgroup hierarchy, does not have this control; leave the limit out.',
  EINVAL: 'The value is outside of what the kernel takes here, or contradicts another limit.',
  ERANGE: 'The value is outside of what the kernel takes here.',
  EBUSY: 'The cgroup already uses more than this limit.',
}

function applyDeviceRules(handles: readonly CgroupHandle[], rules: readonly DeviceRule[], version: 1 | 2): void {
  if (rules.length === 0) return
  if (version === 2) return attachDeviceFilter(handles[0]!.dirFd, rules)
  const directory = handles.find((handle) => handle.controllers.includes('devices'))
  if (directory === undefined) {
    throw new HoldfastError('HF_UNSUPPORTED', 'device rules need the devices cgroup, which is not mounted', {
      details: { field: 'linux.resources.devices' },
    })
  }
  for (const rule of rules) {
    const value = rule.type === 'a' ? 'a' : `${rule.type} ${rule.major}:${rule.minor} ${rule.access}`
    const file = rule.allow ? 'devices.allow' : 'devices.deny'
    writeControl(join(directory.path, file), value, 'linux.resources.devices')
  }
}

/** From the top down, so that each level is ready for the next. */
function makeDirectory(path: string, controllers: readonly string[], preparation: MakeCgroup): void {
  if (preparation.version === 2) {
    makeIfMissing(path)
    const above: string[] = []
    for (let level = dirname(path); existsSync(join(level, 'cgroup.subtree_control')); level = dirname(level)) {
      above.unshift(level)
    }
    for (const level of above) enableControllers(level, preparation.enable)
    return
  }
  makeIfMissing(path, (made) => {
    if (controllers.includes('cpuset')) inheritCpuset(made)
  })
}

function makeIfMissing(path: string, made: (path: string) => void = () => {}): void {
  try {
    mkdirSync(path, 0o755)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return
    if (!hasCode(error, 'ENOENT')) throw error
    makeIfMissing(dirname(path), made)
    return makeIfMissing(path, made)
  }
  made(path)
}

function enableControllers(path: string, controllers: readonly string[]): void {
  const file = join(path, 'cgroup.subtree_control')
  const present = new Set(readFileSync(file, 'latin1').trim().split(' '))
  const missing = controllers.filter((controller) => !present.has(controller))
  for (const controller of missing) writeControl(file, `+${controller}`, `cgroup controller ${controller}`)
}

/** A new v1 cpuset is empty, and nothing can join it so. */
function inheritCpuset(path: string): void {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (readFileSync(join(path, name), 'latin1').trim() !== '') continue
    writeFileSync(join(path, name), readFileSync(join(dirname(path), name)), { flag: 'r+' })
  }
}

/** An existing cgroup with processes belongs to someone: its limits would change under them, and it under ours. */
function refuseMembers(path: string): void {
  if (readFileSync(join(path, 'cgroup.procs'), 'latin1') === '') return
  throw new HoldfastError('HF_INVALID_CONFIG', `the cgroup ${path} already has processes in it`, {
    hint: 'Choose another linux.cgroupsPath.',
    details: { path: 'linux.cgroupsPath' },
  })
}

/** Host pids of all processes in the cgroup and those beneath it, each once. */
export function cgroupProcesses(cgroups: readonly Pick<CgroupHandle, 'path'>[]): number[] {
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

function children(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(path, entry.name))
}

/** SIGKILL to everything in the cgroup. A frozen one must be resumed first on v1. */
export function killCgroup(cgroups: readonly Pick<CgroupHandle, 'path'>[]): void {
  const unified = cgroups.find((cgroup) => hasKillSwitch(cgroup.path))
  if (unified !== undefined && cgroups.length === 1) {
    writeFileSync(join(unified.path, 'cgroup.kill'), '1', { flag: 'r+' })
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
  return readdirSync(path).includes('cgroup.kill')
}

/**
 * Removes the directories, and those that the container made beneath them. Processes that are still ending keep a
 * cgroup busy: it kills what is left, waits, and gives up after `timeoutMs` with EBUSY. Missing ones are fine; those
 * that existed before the container stay.
 */
export async function removeCgroups(
  cgroups: readonly Pick<CgroupHandle, 'path' | 'existed'>[],
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  let pause = 1
  for (const cgroup of cgroups) {
    while (!cgroup.existed) {
      try {
        removeTree(cgroup.path)
        break
      } catch (error) {
        if (!hasCode(error, 'EBUSY') || Date.now() > deadline) throw error
        killCgroup([cgroup])
        await delay(pause)
        pause = Math.min(pause * 2, 50)
      }
    }
  }
}

function removeTree(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    if (!hasCode(error, 'EBUSY', 'ENOTEMPTY')) throw error
    for (const child of children(path)) removeTree(child)
    rmdirSync(path)
  }
}
