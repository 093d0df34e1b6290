/** Finds a container again that an earlier shim made: by its keeper, which holds a copy of every end point. */
import { constants, openSync } from 'node:fs'
import { closeFd, pidfdGetfd, pidfdOpen, processStartTime } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { Door, nothingBehind } from './door.ts'
import { openInside } from './executor.ts'
import type {
  AdoptedContainer,
  AdoptionRecord,
  CgroupHandle,
  KeeperHandle,
  LaunchedProcess,
  ProcessHandle,
} from './launched.ts'

/** What to write down of a launch, so that `adoptContainer` can find it. */
export function adoptionRecord(launched: LaunchedProcess & { cgroups?: CgroupHandle[] }): AdoptionRecord {
  const { init, keeper, keeperFds, door, cgroups = [] } = launched
  return {
    initPid: init.pid,
    initStartTime: String(processStartTime(init.pid) ?? ''),
    keeperPid: keeper.pid,
    keeperStartTime: keeper.startTime,
    keeperFds,
    behind: door.behind,
    cgroups: cgroups.map(({ dirFd: _ours, ...cgroup }) => cgroup),
  }
}

/** What is gone is absent in the result; nothing is guessed. */
export function adoptContainer(record: AdoptionRecord): AdoptedContainer {
  const init = holdProcess(record.initPid, record.initStartTime)
  const keeper = holdProcess(record.keeperPid, record.keeperStartTime)
  const taken = keeper === undefined ? {} : takeDescriptors(keeper.pidfd, record.keeperFds)
  const { door, ...rest } = taken
  return {
    ...(init !== undefined && { init, ...insideOf(init) }),
    ...(keeper !== undefined && { keeper: { ...keeper, startTime: record.keeperStartTime } }),
    taken: rest,
    cgroups: openCgroups(record.cgroups),
    ...(door !== undefined && { door: new Door({ door }, record.behind ?? nothingBehind) }),
  }
}

export interface AdoptedExec {
  init: ProcessHandle | undefined
  keeper: KeeperHandle | undefined
  taken: Record<string, number>
  /** Its keeper had been entrusted with it; else it ends, as all that was launched with it does. */
  entrusted: boolean
}

export function adoptExec(record: AdoptionRecord): AdoptedExec {
  const init = holdProcess(record.initPid, record.initStartTime)
  const keeper = holdProcess(record.keeperPid, record.keeperStartTime)
  const { door, ...taken } = keeper === undefined ? {} : takeDescriptors(keeper.pidfd, record.keeperFds)
  if (door !== undefined) closeFd(door)
  return {
    init,
    keeper: keeper && { ...keeper, startTime: record.keeperStartTime },
    taken,
    entrusted: door !== undefined,
  }
}

/** A pidfd of exactly that process: a pid may have been given to another one since. */
function holdProcess(pid: number, startTime: string): ProcessHandle | undefined {
  let pidfd: number
  try {
    pidfd = pidfdOpen(pid)
  } catch (error) {
    if (hasCode(error, 'ESRCH', 'EINVAL')) return undefined
    throw error
  }
  // The start time is read while the pidfd pins the pid.
  if (startTime !== '' && String(processStartTime(pid) ?? '') === startTime) return { pid, pidfd }
  closeFd(pidfd)
  return undefined
}

function takeDescriptors(keeper: number, numbers: Readonly<Record<string, number>>): Record<string, number> {
  const taken: Record<string, number> = {}
  try {
    for (const [name, number] of Object.entries(numbers)) {
      try {
        taken[name] = pidfdGetfd(keeper, number)
      } catch (error) {
        // ESRCH: it is ending right now, and everything it held ends with it. EBADF: a console that never came.
        if (!hasCode(error, 'ESRCH', 'EBADF')) throw error
      }
    }
    return taken
  } catch (error) {
    for (const fd of Object.values(taken)) closeFd(fd)
    throw error
  }
}

/** Nothing of a process that has ended meanwhile: it has left its namespaces. */
function insideOf(init: ProcessHandle): Partial<ReturnType<typeof openInside>> {
  try {
    return openInside(init)
  } catch (error) {
    if (hasCode(error, 'ESRCH', 'ENOENT', 'EACCES')) return {}
    throw error
  }
}

function openCgroups(cgroups: AdoptionRecord['cgroups']): CgroupHandle[] {
  return cgroups.flatMap((cgroup) => {
    try {
      return [{ ...cgroup, dirFd: openSync(cgroup.path, constants.O_RDONLY | constants.O_DIRECTORY) }]
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  })
}
