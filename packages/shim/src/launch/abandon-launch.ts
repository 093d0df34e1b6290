/** The end of a launch that nobody was entrusted with. */
import { unlinkSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { closeFd, pidfdReap, pidfdSendSignal, SIGKILL, watchFd } from '@holdfast/core'
import type { LaunchResult } from './launch-result.ts'

/** Pidfds, the other descriptors of the launch, and the path of the record that its keeper may write. */
export interface Abandoned {
  init: number | undefined
  keeper: number
  others: readonly (number | undefined)[]
  /** Undefined where it has not begun. */
  record: string | undefined
}

/** Ends everything that was started, waits until it is gone, and removes the record. Closes the descriptors. */
export async function abandonLaunch({ init, keeper, others, record }: Abandoned): Promise<void> {
  kill(init)
  // Whoever waits for an answer, or is about to report, finds the channel closed and leaves.
  for (const fd of others) if (fd !== undefined) closeFd(fd)
  if (init === undefined) kill(keeper)
  await ended(keeper)
  pidfdReap(keeper)
  closeFd(keeper)
  if (init !== undefined) closeFd(init)
  if (record === undefined) return
  try {
    unlinkSync(record)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

/** The same of a launch that was handed on. */
export function abandonResult({ fds }: LaunchResult, record: string): Promise<void> {
  const { init, keeper, ...others } = fds
  return abandonLaunch({ init, keeper: keeper!, others: Object.values(others), record })
}

function kill(pidfd: number | undefined): void {
  if (pidfd === undefined) return
  try {
    pidfdSendSignal(pidfd, SIGKILL)
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}

/** Until it has ended, or for so long: what hangs in the kernel, on a dead network file system, must not hang us too. */
function ended(pidfd: number, timeoutMs = 10_000): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, timeoutMs)
    const watch = watchFd(pidfd, { readable: true }, done)
    function done(): void {
      clearTimeout(timer)
      watch.close()
      resolve()
    }
  })
}
