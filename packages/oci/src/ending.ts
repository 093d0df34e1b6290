/** What ends a container's processes, and waits for it. */
import { closeFd, pidfdOpen, pidfdSendSignal, SIGKILL, watchFd } from '@holdfast/core'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { resumeCgroup } from '@holdfast/shim/library'
import { isAlive, type ContainerRecord } from './store.ts'

/** Kills the init and waits until it has ended; its parent may reap it later. */
export async function killInit(record: ContainerRecord, timeoutMs = 10_000): Promise<void> {
  const pidfd = openInit(record)
  if (pidfd === undefined) return
  try {
    signal(pidfd, SIGKILL)
    thaw(record) // cgroup v1 delivers nothing to what is frozen
    await ended(pidfd, timeoutMs)
  } finally {
    closeFd(pidfd)
  }
}

/** A pidfd of the init, undefined where it has ended. */
export function openInit(record: ContainerRecord): number | undefined {
  if (record.startTime === '' || !isAlive(record)) return undefined
  let pidfd: number
  try {
    pidfd = pidfdOpen(record.pid)
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return undefined
    throw error
  }
  // Opened before it was asked again: the pidfd is the very process.
  if (isAlive(record)) return pidfd
  closeFd(pidfd)
  return undefined
}

function signal(pidfd: number, number: number): void {
  try {
    pidfdSendSignal(pidfd, number)
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}

function thaw({ cgroups }: ContainerRecord): void {
  try {
    resumeCgroup(cgroups)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENODEV', 'HF_UNSUPPORTED')) throw error
  }
}

function ended(pidfd: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      watch.close()
      reject(new HoldfastError('HF_TIMEOUT', 'container init still running'))
    }, timeoutMs)
    const watch = watchFd(pidfd, { readable: true }, () => {
      clearTimeout(timer)
      watch.close()
      resolve()
    })
  })
}
