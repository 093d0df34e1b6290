/** What a launch worker does as a process. */
import { watchFd } from '@holdfast/core'
import { readChannel } from '../zygote/waiting-shim.ts'
import { LaunchWorker } from './launch-worker.ts'
import { adoptStandardStreams, prepareProcess } from '../shim-process.ts'

/** One that has nothing to do for so long ends, and a fresh one, which has hardly any memory of its own, takes over. */
const idleMs = 10_000

/** `channel`: its end is the end of the zygote, and of its worker once that has done what it has begun. */
export function runLaunchWorker(channel: number, listener: number): void {
  process.title = 'holdfast: launch worker'
  adoptStandardStreams() // what goes wrong here is the supervisor's to log
  prepareProcess()
  let idle: NodeJS.Timeout | undefined
  let orphaned = false
  const worker = new LaunchWorker(listener, () => {
    if (orphaned) process.exit(0)
    clearTimeout(idle)
    idle = setTimeout(() => {
      if (!worker.busy) process.exit(0)
    }, idleMs)
  })
  const watch = watchFd(channel, { readable: true, hangup: true }, () => {
    if (readChannel(channel) === undefined) return
    watch.close()
    worker.close()
    orphaned = true
    if (!worker.busy) process.exit(0)
  })
}
