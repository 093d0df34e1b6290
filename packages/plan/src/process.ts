/** The program and its surroundings: terminal or pipes, limits, scheduling, working directory, exec. */
import { invalid } from './config/reader.ts'
import { unsupported } from './config/unsupported.ts'
import { numberList } from './number-list.ts'
import type { OciLinux } from './config/linux.ts'
import type { OciProcess } from './config/process.ts'
import type { Step } from './step.ts'

/**
 * Settings that need the host's rights. In a container with a user namespace of its own stage one makes them, and the
 * init inherits them; in any other the init does, in its cgroup.
 */
export function hostRights(
  { oomScoreAdj, ...process }: OciProcess,
  path: string,
  { confined, rootless }: { confined: boolean; rootless: boolean },
): Step[] {
  const { scheduler, ioPriority } = process
  if (confined && scheduler?.policy === 'SCHED_DEADLINE')
    throw unsupported(
      `${path}.scheduler.policy`,
      'a deadline task cannot fork, so no user namespace can be entered with it',
    )
  const steps: Step[] = []
  if (oomScoreAdj !== undefined && !rootless) steps.push({ do: 'oom-score-adj', value: oomScoreAdj })
  if (scheduler) steps.push(schedulerStep(scheduler, path))
  if (ioPriority)
    steps.push({ do: 'io-priority', class: ioPriority.class, priority: ioPriority.priority ?? 0 })
  return steps
}

/**
 * What a rootless caller may raise, and only where its own files are still its own: once the launcher is in the container's
 * user namespace they belong to the host's root.
 */
export function oomScore({ oomScoreAdj }: OciProcess, rootless: boolean): Step[] {
  return oomScoreAdj !== undefined && rootless ? [{ do: 'oom-score-adj', value: oomScoreAdj, rootless }] : []
}

/** sched(7): each policy takes parameters of its own, and the kernel answers EINVAL for any other. */
function schedulerStep(scheduler: NonNullable<OciProcess['scheduler']>, path: string): Step {
  const { policy, nice = 0, priority = 0, flags = [], runtime = 0, deadline = 0, period = 0 } = scheduler
  const at = `${path}.scheduler`
  const realtime = policy === 'SCHED_FIFO' || policy === 'SCHED_RR'
  if (priority !== 0 && !realtime)
    throw invalid(`${at}.priority`, `is for SCHED_FIFO and SCHED_RR, not ${policy}`)
  if (realtime && (priority < 1 || priority > 99))
    throw invalid(`${at}.priority`, `must be from 1 to 99, not ${priority}`)
  const deadlineGiven = [runtime, deadline, period].some((each) => BigInt(each) !== 0n)
  if (deadlineGiven && policy !== 'SCHED_DEADLINE')
    throw invalid(`${at}.runtime`, `is for SCHED_DEADLINE, not ${policy}`)
  return {
    do: 'scheduler',
    policy,
    nice,
    priority,
    flags,
    runtime: String(runtime),
    deadline: String(deadline),
    period: String(period),
  }
}

/** Hard limits that only the host's rights can raise; the exact values follow in the init. */
export function raiseLimits(process: OciProcess): Step[] {
  return (process.rlimits ?? []).map(({ type, soft, hard }) => ({
    do: 'rlimit',
    resource: type,
    soft: String(soft),
    hard: String(hard),
    raise: true,
  }))
}

/** Late: a low limit of descriptors or processes must not starve the steps before. */
function setLimits(process: OciProcess): Step[] {
  return (process.rlimits ?? []).map(({ type, soft, hard }) => ({
    do: 'rlimit',
    resource: type,
    soft: String(soft),
    hard: String(hard),
  }))
}

/** Where memory comes from, and which kernel it seems to be; once the cpuset is joined. */
export function memoryAndPersonality(linux: OciLinux | undefined): Step[] {
  const { memoryPolicy, personality } = linux ?? {}
  const steps: Step[] = []
  if (memoryPolicy) {
    const nodes = numberList(memoryPolicy.nodes ?? '', 'linux.memoryPolicy.nodes')
    steps.push({ do: 'memory-policy', mode: memoryPolicy.mode, nodes, flags: memoryPolicy.flags ?? [] })
  }
  if (personality) steps.push({ do: 'personality', domain: personality.domain })
  return steps
}

/** A pty of the container's own devpts. `bind` gives it the name /dev/console too. */
export function terminal(process: OciProcess, bind: boolean): Step[] {
  if (!process.terminal) return []
  const { height = 0, width = 0 } = process.consoleSize ?? {}
  // The group stays `tty`, as the gid= option of devpts has it: write(1) and mesg(1) rely on it.
  const { uid = 0 } = process.user ?? {}
  return [{ do: 'console', rows: height, columns: width, bind, uid }]
}

export function pipes(process: OciProcess): Step[] {
  return process.terminal ? [] : [{ do: 'stdio', stdin: 'stdin', stdout: 'stdout', stderr: 'stderr' }]
}

/**
 * As root of the container still: a directory that only root may enter is a valid working directory. The mask is set
 * even where none was asked for: what the engine happens to have is no container's business.
 */
export function surroundings(process: OciProcess, create: boolean): Step[] {
  return [
    { do: 'chdir', path: process.cwd, create },
    { do: 'umask', mask: process.user?.umask ?? 0o022 },
    ...setLimits(process),
  ]
}

export function execute(process: OciProcess, init: boolean): Step {
  return { do: 'exec', args: process.args ?? [], env: process.env ?? [], init }
}
