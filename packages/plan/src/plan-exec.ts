import { keyLabel, programLabels } from './labels.ts'
import { numberList } from './number-list.ts'
import { execute, hostRights, oomScore, pipes, raiseLimits, surroundings, terminal } from './process.ts'
import { dropPrivileges } from './security.ts'
import type { OciProcess } from './config/process.ts'
import type { ContainerPlan, ExecPlan, ExecPlanOptions } from './plan.ts'
import type { FdName, NamespaceType, Step } from './step.ts'

/** One more process in a running container. */
export function planExec(process: OciProcess, options: ExecPlanOptions): ExecPlan {
  const warnings: string[] = []
  const types = (Object.keys(options.namespaces) as NamespaceType[]).filter(
    (type) => options.namespaces[type] !== 'host',
  )
  const rootless = options.host.rootless === true
  const joinsUser = options.namespaces.user !== 'host'
  const confined = joinsUser && !rootless
  const { initial, final } = process.execCPUAffinity ?? {}
  const { birth } = options
  // Who makes the init in the container's cgroup sees it from the host's cgroup namespace, and is the host's root: as root
  // of the container's user namespace it would be refused.
  const later: NamespaceType[] = birth ? ['time', 'cgroup'] : ['time']
  const becomeRoot: Step[] = joinsUser ? [{ do: 'become-root', ...(rootless && { rootless }) }] : []
  const steps: Step[] = [
    ...joinTime(types, options.pidfd),
    // With the host's rights, before they are given up.
    ...affinity(initial, 'process.execCPUAffinity.initial'),
    ...(confined ? [...raiseLimits(process), ...hostRights(process, 'process', { confined, rootless })] : []),
    ...oomScore(process, rootless),
    // All at once by one descriptor: between two calls the container could end and its pid be another's.
    ...joinProcess(
      types.filter((type) => !later.includes(type)),
      options.pidfd,
    ),
    ...(options.root ? [{ do: 'change-root' as const, directory: options.root }] : []),
    ...(birth ? [] : becomeRoot),
    // A pid namespace is entered by children only.
    { do: 'clone', namespaces: [], keep: [], ...(birth && { cgroup: birth.cgroup }) },
    ...(birth && types.includes('cgroup') ? [joinCgroupNamespace(birth.namespace)] : []),
    ...(birth ? becomeRoot : []),
    { do: 'join-cgroups', procs: options.cgroupProcs },
    ...affinity(final, 'process.execCPUAffinity.final'), // joining a cpuset resets it
    ...(confined ? [] : hostRights(process, 'process', { confined, rootless })),
    { do: 'new-session' },
    ...keyLabel(process),
    ...(options.keyring ? [{ do: 'session-keyring' as const, name: options.keyring }] : []),
    ...terminal(process, false), // /dev/console stays the container's own
    ...pipes(process),
    ...programLabels(process, options.host),
    ...surroundings(process, false),
    ...dropPrivileges(process, options.seccomp, options.host, warnings),
    { do: 'door' },
    programStep(process),
  ]
  return { steps, terminal: process.terminal === true, ...(warnings.length > 0 && { warnings }) }
}

/** The last step of `planExec`, the one that says what is executed; nothing else depends on its arguments and environment. */
export function programStep(process: OciProcess): Step {
  return execute(process, false)
}

/** By a descriptor of its own: the pidfd's process may be one whose memory the container's root has no right over. */
function joinCgroupNamespace(fd: FdName): Step {
  return { do: 'join', namespace: 'cgroup', fd }
}

/** First, and alone: it is for a process that shares its memory with nobody, and what comes after it may be a sibling. */
function joinTime(types: readonly NamespaceType[], pidfd: FdName): Step[] {
  return joinProcess(
    types.filter((type) => type === 'time'),
    pidfd,
  )
}

function joinProcess(namespaces: NamespaceType[], pidfd: FdName): Step[] {
  return namespaces.length > 0 ? [{ do: 'join-process', pidfd, namespaces }] : []
}

/** The descriptors through which a process joins the container's cgroups. */
export function cgroupProcs(plan: ContainerPlan): FdName[] {
  return plan.preparations.flatMap((each) =>
    each.do === 'make-cgroup' ? each.directories.map(({ as }) => `${as}:procs`) : [],
  )
}

function affinity(list: string | undefined, path: string): Step[] {
  return list ? [{ do: 'cpu-affinity', cpus: numberList(list, path), field: path }] : []
}
