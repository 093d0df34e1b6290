/**
 * The planner's program, started by the front end (native/planner.c):
 *
 *     node main-planner.js --serve SOCKET  descriptor 3 listens at SOCKET, beneath the runtime root
 *     node main-planner.js --once          descriptor 3 is the one connection to serve
 */
import { rmSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { loadLauncher, probeHost } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { leaveCallersCgroup } from './own-cgroup.ts'
import { serve, serveOne } from './server.ts'

/** Long enough for the probes and the restarts of one machine's containers, and short for the memory that it takes. */
const idleMs = 30_000
const socketFd = 3

const [mode, path] = process.argv.slice(2)
process.title = `holdfast-oci: planner${path === undefined ? '' : ` ${dirname(path)}`}`
if (mode === '--once' || path === undefined) {
  await serveOne(socketFd)
} else {
  const inode = inodeOf(path)
  // Whoever removes the runtime root has no use for its planner.
  const gone = watch(path, () => inodeOf(path) !== inode && process.exit(0))
  gone.on('error', () => gone.close())
  const retire = (): void => {
    gone.close() // or the removal here would end the call of who came just before it
    if (inodeOf(path) !== inode) return // somebody else's by now
    rmSync(path, { force: true })
    rmSync(`${path}.log`, { force: true })
  }
  const served = serve({ listener: socketFd, idleMs, retire })
  // What every launch needs, while the first front end is on its way.
  tryOut(probeHost)
  tryOut(loadLauncher)
  setTimeout(leaveCallersCgroup, 100)
  await served
  process.exit(0)
}

/** Whoever needs what fails here is told so when it asks; others are served. */
function tryOut(work: () => unknown): void {
  try {
    work()
  } catch {
    // asked again by each call that needs it
  }
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}
