/**
 * What a shim and a launch worker say to each other, on a connection for each job:
 *
 *   shim                                   launch worker
 *     │── {version, job: 'create', …} ──────►│   with the lock of the shim's directory
 *     │── {version, job: 'exec', …} ────────►│   with `init` and `root`
 *     │── {version, job: 'clear', …} ───────►│   with the lock
 *     │◄─ {born} and a descriptor ───────────│   of a container's own network namespace, while the rest is made
 *     │◄─ {facts} and descriptors ───────────│   what was launched; of `clear`: {}
 *     │◄─ {error} ───────────────────────────│
 *
 * The end of the connection before the answer is the end of the job: nothing is left of it, on either side. While a
 * worker works for a directory it holds the directory's lock too, so that no later shim begins before that.
 */
import type { ExecJob } from '../exec/exec-launch.ts'
import type { CreateJob } from './launches.ts'

/** Raised when a shim and the worker of a later version could no longer work together: the shim then launches itself. */
export const launchVersion = 2

export type LaunchRequest =
  | ({ version: number; job: 'create' | 'clear' } & CreateJob)
  | ({ version: number; job: 'exec' } & Omit<ExecJob, 'init' | 'root'>)
