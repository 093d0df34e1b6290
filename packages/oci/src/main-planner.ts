/** The planner's program, started by the front end (native/planner.c). */
import { dirname } from 'node:path'
import { hostFacts, loadLauncher, serveFrontEnds } from '@holdfast/core'
import { serve } from './front-end/server.ts'

/** Well beyond the half minute at which engines run health checks, or each would start it anew. */
const idleMs = 120_000

const args = process.argv.slice(2)
const [, socket] = args
process.title = `holdfast-oci: planner${socket === undefined ? '' : ` ${dirname(socket)}`}`
const served = serveFrontEnds({ args, idleMs: () => idleMs, serve })
if (socket !== undefined) {
  // What every launch needs, while the first front end is on its way.
  tryOut(hostFacts)
  tryOut(loadLauncher)
}
await served
if (socket !== undefined) process.exit(0)

/** Whoever needs what fails here is told so when it asks; others are served. */
function tryOut(work: () => unknown): void {
  try {
    work()
  } catch {
    // asked again by each call that needs it
  }
}
