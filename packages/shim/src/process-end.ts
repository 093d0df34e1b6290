/** Waits for the end of a launched process, and finds out how it ended. */
import { setTimeout as delay } from 'node:timers/promises'
import { hasCode } from '@holdfast/errors'
import { closeFd, pidfdInfo, pidfdSendSignal, pidfdWait, watchFd, type ProcessExit } from '@holdfast/core'
import type { ExitRecord } from '@holdfast/protocol'
import { nowRfc3339 } from './clock.ts'
import type { KeeperHandle, ProcessHandle } from './launched.ts'
import { readExitRecord } from './state-file.ts'

/** How often a zombie is looked at where nothing says that it was reaped: this long after the end, then twice as long. */
const firstLookMs = 1
const longestLookMs = 64

/** Resolves when the process was reaped, with what the kernel told of it by then, if anything. Closes init's pidfd. */
export async function initEnd(init: ProcessHandle | undefined): Promise<ProcessExit | undefined> {
  if (!init) return undefined
  await pidfdEvent(init.pidfd, 'readable') // by now it is a zombie, or gone
  await reaped(init.pidfd)
  const exit = pidfdInfo(init.pidfd)?.exit
  closeFd(init.pidfd)
  return exit
}

/**
 * Resolves when the keeper has ended: it has written its record, and the output was read. Closes its pidfd. `signal`
 * ends the waiting for one that sits on output which a stranger goes on writing; its record has been written.
 */
export async function keeperEnd(keeper: KeeperHandle | undefined, signal: AbortSignal): Promise<void> {
  if (!keeper) return
  await pidfdEvent(keeper.pidfd, 'readable', signal)
  if (signal.aborted) {
    // It is reaped when it does end, as long as this process lives.
    void pidfdEvent(keeper.pidfd, 'readable').then(() => reap(keeper.pidfd))
    return
  }
  reap(keeper.pidfd)
}

/**
 * How the process ended: the keeper's record. Where the keeper was killed the kernel may have told (PIDFD_GET_INFO);
 * else the exit code is null.
 */
export function endRecord(recordPath: string, exit: ProcessExit | undefined): Omit<ExitRecord, 'oomKilled'> {
  return readExitRecord(recordPath) ?? { ...exitFields(exit), finishedAt: nowRfc3339() }
}

/** A pidfd hangs up once its process was reaped; before Linux 6.9 nothing says so, and one has to look. */
async function reaped(pidfd: number): Promise<void> {
  const stop = new AbortController()
  const hungUp = pidfdEvent(pidfd, 'hangup', stop.signal)
  for (let pause = firstLookMs; isZombie(pidfd); pause = Math.min(2 * pause, longestLookMs))
    await Promise.race([hungUp, delay(pause)])
  stop.abort()
}

function isZombie(pidfd: number): boolean {
  try {
    pidfdSendSignal(pidfd, 0)
    return true
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return false
    throw error
  }
}

function pidfdEvent(pidfd: number, interest: 'hangup' | 'readable', signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      watch.close()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const watch = watchFd(pidfd, { [interest]: true }, done)
    signal?.addEventListener('abort', done)
  })
}

/** The keeper is the child of the process that launched it, and of nobody else who waits for its end. */
export function reap(pidfd: number): void {
  try {
    pidfdWait(pidfd)
  } catch (error) {
    if (!hasCode(error, 'ECHILD')) throw error
  } finally {
    closeFd(pidfd)
  }
}

function exitFields(exit: ProcessExit | undefined): Pick<ExitRecord, 'exitCode' | 'signal'> {
  if (!exit) return { exitCode: null, signal: null }
  if (exit.signal !== undefined) return { exitCode: 128 + exit.signal, signal: exit.signal }
  return { exitCode: exit.exitCode, signal: null }
}
