import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { flock } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'

const deadlineMs = 15_000

/** One instance on the machine at a time. The kernel lets go of the lock when its holder ends, however it ends. */
export async function withMachineLock<T>(file: string, action: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const fd = openSync(file, 'a', 0o600)
  try {
    const deadline = performance.now() + deadlineMs
    while (!flock(fd, 'exclusive', { wait: false })) {
      if (performance.now() > deadline) {
        throw new HoldfastError('HF_TIMEOUT', `another supervisor has held ${file} for ${deadlineMs} ms`)
      }
      await sleep(10) // a blocking flock(2) would stop the event loop
    }
    return await action()
  } finally {
    closeSync(fd)
  }
}
