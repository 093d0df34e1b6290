/**
 * Carries out plans: prepares what they need, has the launcher run their steps, and hands out what came of it.
 *
 *   createContainer ─ preparations ─ table ─ launch ──► sync ─► hooks ─► ready      `create` ends here
 *   start           ─────────────────────────────────────────────────► door ─► exec
 *
 * When a create fails nothing is left of it: no process, mount, cgroup, record or descriptor.
 */
import { closeSync, openSync, constants } from 'node:fs'
import { closeFd, O_PATH, openNamespaceOfPidfd, pidfdSendSignal } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import type { ContainerPlan, ExecPlan, NamespaceType, Step } from '@holdfast/plan'
import { birthCgroup, joinFile, openMemberDirectory } from '../cgroup/cgroup-members.ts'
import { removeCgroups, vacatedCgroup } from '../cgroup/cgroup.ts'
import { hookSteps, hooksTime } from './hooks.ts'
import type {
  CgroupRecord,
  CreateOptions,
  ExecOptions,
  LaunchedContainer,
  LaunchedProcess,
  LaunchOptions,
  ProcessHandle,
} from './launched.ts'
import { Launching, type LaunchingOptions } from './launching.ts'
import { moveNetDevices } from './net-devices.ts'
import { prepare, type Prepared } from './prepare.ts'

const defaultTimeoutMs = 60_000

/** Does all of OCI's `create`. `start` of what it returns runs the program. */
export async function createContainer(
  plan: ContainerPlan,
  options: CreateOptions,
): Promise<LaunchedContainer> {
  await vacatedCgroup(plan.preparations)
  const prepared = prepare(plan.preparations)
  try {
    const bornIn = roomToBeBorn(plan) ? birthCgroup(prepared.cgroups)?.as : undefined
    // The init stays at its door for as long as it pleases its owner: its memory is its own from the start.
    const launching = begin(plan, { ...options, bornIn, share: 'stage-one' }, prepared.fds)
    try {
      await unlessAborted(
        launching.untilReady(deadlineOf(options, hooksBeforeDoor(plan)), {
          onSync: (pid) => {
            moveNetDevices(plan.netDevices, pid)
            return options.onCreateRuntime(pid)
          },
          onBorn: options.onBorn?.bind(options),
        }),
        options.signal,
      )
      const launched = handOut(launching, prepared, plan)
      await handedOver(launched, options)
      return launched
    } catch (error) {
      await launching.abandon()
      throw error
    }
  } catch (error) {
    for (const cgroup of prepared.cgroups) closeSync(cgroup.dirFd)
    await removeCgroups(prepared.cgroups)
    throw error
  } finally {
    // The launcher has its own copies.
    for (const fd of prepared.transient) closeFd(fd)
  }
}

/**
 * One more process in a running container, up to its door, or on its way there: where nothing but errors is reported on
 * that way, the door is silent, and may be opened while the process is still being prepared.
 */
export function launchExec(plan: ExecPlan, options: ExecOptions): Promise<LaunchedProcess> {
  return untilAtDoor(beginExec(plan, options), options)
}

export interface BegunExec {
  launching: Launching
  silent: boolean
}

/** `ahead`: the plan lacks its last step, which is for `complete` of what is returned to bring. */
export function beginExec(plan: ExecPlan, options: ExecOptions & Pick<LaunchingOptions, 'ahead'>): BegunExec {
  const { init, cgroups } = options.container
  const opened = openProcs(plan.steps, cgroups)
  try {
    openBirth(plan.steps, options.container, opened)
    const silent = reportsErrorsAlone(plan)
    const steps = silent ? withSilentDoor(plan.steps) : plan.steps
    const begun = begin(
      { ...plan, steps },
      { ...options, share: sharedBy(plan) },
      { pidfd: init.pidfd, ...opened },
    )
    return { launching: begun, silent }
  } finally {
    for (const fd of Object.values(opened)) closeSync(fd)
  }
}

/** Into `opened`: what the process is born in, and the cgroup namespace that it joins after that. */
function openBirth(
  steps: readonly Step[],
  { init, cgroups }: ExecOptions['container'],
  opened: Record<string, number>,
): void {
  for (const step of steps) {
    const birth = step.do === 'clone' ? cgroups.find(({ as }) => as === step.cgroup) : undefined
    if (birth !== undefined) opened[birth.as] = openMemberDirectory(birth, init.pid)
    if (step.do === 'join' && step.namespace === 'cgroup')
      opened[step.fd] = openNamespaceOfPidfd(init.pidfd, 'cgroup', init.pid)
  }
}

/** Where it fails nothing is left of it. */
export async function untilAtDoor(
  { launching, silent }: BegunExec,
  options: Pick<ExecOptions, 'timeoutMs' | 'signal'>,
): Promise<LaunchedProcess> {
  try {
    const deadline = deadlineOf(options)
    await unlessAborted(
      silent ? launching.untilBorn(deadline) : launching.untilReady(deadline),
      options.signal,
    )
    return launching.process()
  } catch (error) {
    await launching.abandon()
    throw error
  }
}

/** A terminal's master, or a filter's listener, has to be taken before the door. */
export function reportsErrorsAlone({ steps, terminal }: ExecPlan): boolean {
  return !terminal && !steps.some((step) => step.do === 'seccomp' && hasListener(step.profile))
}

function hasListener({ syscalls = [] }: Extract<Step, { do: 'seccomp' }>['profile']): boolean {
  return syscalls.some(({ action }) => action === 'SCMP_ACT_NOTIFY')
}

function withSilentDoor(steps: readonly Step[]): Step[] {
  return steps.map((step) => (step.do === 'door' ? { ...step, silent: true } : step))
}

/**
 * The init of an exec is seen by whoever is in the container. In the host's user namespace CAP_SYS_PTRACE gives rights over
 * its memory, which must not be the keeper's then.
 */
function sharedBy({ steps }: ExecPlan): LaunchingOptions['share'] {
  return steps.some((step) => step.do === 'become-root') ? 'init' : 'stage-one'
}

async function handedOver(launched: LaunchedContainer, options: CreateOptions): Promise<void> {
  try {
    await options.onReady?.(launched)
  } catch (error) {
    const { namespaces, root, userns } = launched
    for (const fd of [...Object.values(namespaces), root, userns]) if (fd !== undefined) closeFd(fd)
    throw error
  }
}

function unlessAborted(launch: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return launch
  return new Promise((resolve, reject) => {
    const abort = (): void =>
      reject(new HoldfastError('HF_SHIM_LOST', 'nobody waits for this launch any more'))
    signal.addEventListener('abort', abort)
    void launch.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
    if (signal.aborted) abort()
  })
}

/**
 * Stage one counts too while it lives, as do `tenants`: in a cgroup for one process alone it could not make the init.
 */
export function roomToBeBorn(plan: Pick<ContainerPlan, 'preparations'>, tenants = 0): boolean {
  return !plan.preparations.some(
    (each) =>
      each.do === 'make-cgroup' &&
      each.writes.some(({ file, value }) => file === 'pids.max' && Number(value) < 2 + tenants),
  )
}

/** `bornIn`: the cgroup v2 directory in which the process is born, and so has no need to join. */
function begin(
  plan: Pick<ContainerPlan, 'steps' | 'terminal'>,
  options: LaunchOptions & Pick<LaunchingOptions, 'bornIn' | 'share' | 'ahead'>,
  fds: Readonly<Record<string, number>>,
): Launching {
  const steps = bornInside(withStdio(plan.steps, options.stdio), options.bornIn)
  return new Launching(steps, { ...options, terminal: plan.terminal }, fds)
}

/** What a process is born in it need not join. */
export function bornInside(steps: readonly Step[], bornIn: string | undefined): Step[] {
  return steps.map((step) =>
    step.do === 'join-cgroups'
      ? { ...step, procs: step.procs.filter((name) => name !== `${bornIn}:procs`) }
      : step,
  )
}

/** An end that the caller doesn't give is the launcher's /dev/null. */
function withStdio(steps: readonly Step[], stdio: LaunchOptions['stdio']): Step[] {
  return steps.map((step): Step => {
    if (step.do !== 'stdio') return step
    const given = (['stdin', 'stdout', 'stderr'] as const).filter(
      (name) => step[name] !== undefined && name in stdio,
    )
    return { do: 'stdio', ...Object.fromEntries(given.map((name) => [name, step[name]!])) }
  })
}

function deadlineOf(
  options: Pick<LaunchOptions, 'timeoutMs'>,
  hooks: readonly { timeoutMs?: number }[] = [],
): number {
  return performance.now() + (options.timeoutMs ?? defaultTimeoutMs) + hooksTime(hooks)
}

function hooksBeforeDoor({ hooks, steps }: ContainerPlan): { timeoutMs?: number }[] {
  return [...hooks.createRuntime, ...hookSteps(steps, 'createContainer')]
}

/** `<as>:procs` of the container's cgroups, for the exec'd process to join by itself. */
export function openProcs(steps: readonly Step[], cgroups: readonly CgroupRecord[]): Record<string, number> {
  const names = steps.flatMap((step) => (step.do === 'join-cgroups' ? step.procs : []))
  const fds: Record<string, number> = {}
  try {
    for (const name of names) {
      const cgroup = cgroups.find(({ as }) => name === `${as}:procs`)
      if (cgroup !== undefined) fds[name] = openSync(joinFile(cgroup), 'w')
    }
    return fds
  } catch (error) {
    for (const fd of Object.values(fds)) closeSync(fd)
    throw error
  }
}

function handOut(launching: Launching, prepared: Prepared, plan: ContainerPlan): LaunchedContainer {
  const launched = launching.process()
  const userns = plan.namespaces.user === 'host' ? undefined : prepared.fds['userns']
  if (userns !== undefined) prepared.transient.delete(userns)
  return {
    ...launched,
    ...openInside(launched.init),
    cgroups: prepared.cgroups,
    ...(userns !== undefined && { userns }),
  }
}

const namespaceTypes: readonly NamespaceType[] = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts']

/** The namespaces and the root of a process that is held by a pidfd, so that no later process is taken for it. */
export function openInside(init: ProcessHandle): { namespaces: Record<NamespaceType, number>; root: number } {
  const opened: Partial<Record<NamespaceType, number>> = {}
  try {
    for (const type of namespaceTypes) opened[type] = openNamespaceOfPidfd(init.pidfd, type, init.pid)
    const root = openSync(`/proc/${init.pid}/root`, O_PATH | constants.O_DIRECTORY)
    try {
      pidfdSendSignal(init.pidfd, 0)
    } catch (error) {
      closeSync(root)
      throw error
    }
    return { namespaces: opened as Record<NamespaceType, number>, root }
  } catch (error) {
    for (const fd of Object.values(opened)) closeFd(fd)
    throw error
  }
}
