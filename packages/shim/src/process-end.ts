/** Waits for the end of a launched process, and finds out how it ended. */
import { hasCode } from '@holdfast/errors'
import { closeFd, pidfdInfo, pidfdWait, watchFd, type ProcessExit } from '@holdfast/core'
import type { ExitRecord } from '@holdfast/protocol'
import { nowRfc3339 } from './clock.ts'
import type { KeeperHandle, ProcessHandle } from './launched.ts'
import { readExitRecord } from './state-file.ts'

/**
 * Resolves when the process was reaped and its keeper has ended, with what the keeper recorded. Where the keeper was
 * killed the kernel may still know (PIDFD_GET_INFO); else the exit code is null. Closes both pidfds.
 */
export async function processEnd(
  init: ProcessHandle | undefined, keeper: KeeperHandle | undefined, recordPath: string,
): Promise<Omit<ExitRecord, 'oomKilled'>> {
  let exit: ProcessExit | undefined
  if (init) {
    // A pidfd is readable while its process is still a zombie; it hangs up once that was reaped.
    await hangup(init.pidfd, 'hangup')
    exit = pidfdInfo(init.pidfd)?.exit
    closeFd(init.pidfd)
  }
  if (keeper) {
    await hangup(keeper.pidfd, 'readable')
    reap(keeper.pidfd)
    closeFd(keeper.pidfd)
  }
  return readExitRecord(recordPath) ?? { ...exitFields(exit), finishedAt: nowRfc3339() }
}

function hangup(pidfd: number, interest: 'hangup' | 'readable'): Promise<void> {
  return new Promise((resolve) => {
    const watch = watchFd(pidfd, { [interest]: true }, () => {
      watch.close()
      resolve()
    })
  })
}

/** The keeper is the child of the shim that launched it; a shim that adopted it is no parent. */
function reap(pidfd: number): void {
  try {
    pidfdWait(pidfd)
  } catch (error) {
    if (!hasCode(error, 'ECHILD')) throw error
  }
}

function exitFields(exit: ProcessExit | undefined): Pick<ExitRecord, 'exitCode' | 'signal'> {
  if (!exit) return { exitCode: null, signal: null }
  if (exit.signal !== undefined) return { exitCode: 128 + exit.signal, signal: exit.signal }
  return { exitCode: exit.exitCode, signal: null }
}
