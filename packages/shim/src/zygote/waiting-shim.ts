/** A forked shim between two containers: it waits for a directory, holds that container, and waits again. */
import { readdirSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { closeFd, readFd, watchFd, writeFd } from '@holdfast/core'
import type { Launcher } from '../worker/launcher.ts'
import { adoptStandardStreams, hadDefect, runShim } from '../shim-process.ts'

/** One that has held a container for longer has grown: a fresh fork is smaller. */
const shortLifeMs = 60_000

/** `channel`: to the zygote. Its end is the end of a shim that waits. */
export function awaitDirectory(channel: number, launcher: Launcher): void {
  process.title = 'holdfast: shim (waiting)'
  const watch = watchFd(channel, { readable: true, hangup: true }, () => {
    const line = readChannel(channel)
    if (line === undefined) return
    if (line.length === 0) process.exit(0) // the zygote is gone, or has enough of them
    watch.close()
    const { dir, create } = JSON.parse(line.toString()) as { dir: string; create: boolean }
    const [descriptors, begun] = [openDescriptors(), performance.now()]
    adoptStandardStreams(`${dir}/shim.log`)
    runShim({
      dir,
      create,
      launcher,
      onLeave: () => {
        adoptStandardStreams('/dev/null')
        // Nothing of one container may be within reach of the next: what is open must be what was open before.
        const asBefore = openDescriptors() === descriptors
        if (!asBefore || hadDefect() || performance.now() - begun > shortLifeMs || !sayReady(channel))
          process.exit(0)
        awaitDirectory(channel, launcher)
      },
    })
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

function openDescriptors(): string {
  return readdirSync('/proc/self/fd').join()
}

/** false where there is no zygote any more. */
function sayReady(channel: number): boolean {
  try {
    return writeFd(channel, 'ready\n') > 0
  } catch {
    closeFd(channel)
    return false
  }
}
