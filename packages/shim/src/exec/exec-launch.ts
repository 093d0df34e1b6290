/** The launch of an exec: in a launch worker, or in the shim itself. */
import { probeHost } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { planExec, sessionKeyring, type ExecPlan, type OciProcess } from '@holdfast/plan'
import type { ExecSpec } from '@holdfast/protocol'
import { adoptionRecord } from '../launch/adopt.ts'
import { birthCgroup } from '../cgroup/cgroup-members.ts'
import { hostOwner, readBundle, type Bundle } from '../bundle.ts'
import { execRecordName } from './exec-files.ts'
import { execProcess } from './exec-process.ts'
import { execRefusal } from './exec-refusal.ts'
import { launchExec, reportsErrorsAlone } from '../launch/executor.ts'
import type { ContainerRecord, ExecOptions, LaunchedProcess } from '../launch/launched.ts'
import { describeLaunch, type LaunchResult } from '../launch/launch-result.ts'
import type { CreateJob, JobOptions } from '../worker/launches.ts'
import { handOverListener } from '../launch/seccomp-listener.ts'
import { closeAll, keeperCopies, makeStdio, type Stdio } from '../stdio/stdio.ts'

export interface ExecJob extends CreateJob {
  execId: string
  exec: ExecSpec
  container: ContainerRecord
  /** A pidfd of the container's init, and an O_PATH descriptor of its root. They stay the caller's. */
  init: number
  root: number
  /** Nobody has asked for it yet: it is refused where anybody would notice more of it than its error. */
  unasked?: boolean
}

/** One more process in a running container, up to its door. */
export async function execJob(
  job: ExecJob,
  options: Pick<JobOptions, 'signal' | 'bundle'> = {},
): Promise<LaunchResult> {
  try {
    const { bundle = readBundle(job.dir, job.spec), signal } = options
    return await launchInside(job, bundle, signal)
  } catch (error) {
    throw execRefusal(error, job.exec.cwd)
  }
}

async function launchInside(
  job: ExecJob,
  bundle: Bundle,
  signal: AbortSignal | undefined,
): Promise<LaunchResult> {
  const { process, plan } = planJob(job, bundle)
  if (job.unasked === true && !reportsErrorsAlone(plan))
    throw new HoldfastError('HF_CONTAINER_STATE', 'this exec is launched when it is started')
  const stdio = execStdio(job, bundle, process)
  try {
    const launched = await launchExec(plan, { ...execOptions(job, bundle, stdio), signal })
    return execResult(plan, launched, stdio)
  } catch (error) {
    closeAll(stdio.keep)
    throw error
  } finally {
    closeAll(stdio.child)
  }
}

/** Throws what is wrong with it: HF_BAD_REQUEST, or HF_COMMAND_NOT_EXECUTABLE for a user that isn't there. */
export function planJob(job: ExecJob, bundle: Bundle): { process: OciProcess; plan: ExecPlan } {
  const { spec, exec, container, root } = job
  const process = execProcess(exec, bundle.config.process!, root)
  const seccomp = bundle.config.linux?.seccomp
  const birth = birthCgroup(container.cgroups)
  const plan = planExec(process, {
    namespaces: container.namespaces,
    pidfd: 'pidfd',
    cgroupProcs: container.cgroups.filter((cgroup) => cgroup !== birth).map(({ as }) => `${as}:procs`),
    ...(birth && { birth: { cgroup: birth.as, namespace: 'cgroup-namespace' } }),
    ...(seccomp && { seccomp }),
    keyring: sessionKeyring(spec.id),
    host: probeHost(),
  })
  return { process, plan }
}

export function execStdio({ exec }: ExecJob, bundle: Bundle, process: OciProcess): Stdio {
  return makeStdio({ terminal: exec.tty, stdin: exec.stdin, owner: hostOwner(bundle, process.user) })
}

export function execOptions(job: ExecJob, bundle: Bundle, stdio: Stdio): ExecOptions {
  const { dir, spec, container, init } = job
  return {
    name: spec.name,
    directory: dir,
    stdio: stdio.child,
    keep: keeperCopies(stdio),
    recordName: execRecordName(job.execId),
    onListener: (listener, pid) => handOverListener(bundle, listener, pid),
    container: { init: { pid: container.initPid, pidfd: init }, cgroups: container.cgroups },
  }
}

export function execResult(
  { warnings = [] }: ExecPlan,
  launched: LaunchedProcess,
  stdio: Stdio,
): LaunchResult {
  return {
    facts: { record: adoptionRecord(launched), warnings },
    fds: describeLaunch(launched, stdio.keep),
    late: launched.door.late,
  }
}
