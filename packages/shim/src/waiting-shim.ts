/** A forked shim that waits for a directory. */
import { hasCode } from '@holdfast/errors'
import { closeFd, readFd, watchFd } from '@holdfast/core'
import type { Launcher } from './launcher.ts'
import { adoptStandardStreams, runShim } from './shim-process.ts'

/** `channel`: to the zygote. Its end is the end of a shim that waits. */
export function awaitDirectory(channel: number, launcher: Launcher): void {
  process.title = 'holdfast: shim (waiting)'
  const watch = watchFd(channel, { readable: true, hangup: true }, () => {
    const line = readChannel(channel)
    if (line === undefined) return
    if (line.length === 0) process.exit(0) // the zygote is gone
    watch.close()
    closeFd(channel)
    const { dir, create } = JSON.parse(line.toString()) as { dir: string; create: boolean }
    adoptStandardStreams(`${dir}/shim.log`)
    runShim({ dir, create, launcher, onLeave: () => process.exit(0) })
  })
}

/**
 * What the other side wrote; undefined: nothing yet; empty: it has gone. One that goes with something of ours unread
 * resets the connection, and an error that nobody takes would leave a process with an empty event loop.
 */
export function readChannel(channel: number): Buffer | undefined {
  try {
    return readFd(channel, 65_536)
  } catch (error) {
    if (hasCode(error, 'ECONNRESET')) return Buffer.alloc(0)
    throw error
  }
}
