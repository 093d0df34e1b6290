/** What came of a launch in a form that crosses a socket: facts, and descriptors by name. */
import type { NamespaceType } from '@holdfast/plan'
import { Door, nothingBehind, type LateWord } from './door.ts'
import type {
  AdoptionRecord,
  CgroupHandle,
  KeeperHandle,
  LaunchedContainer,
  LaunchedProcess,
  ProcessHandle,
} from './launched.ts'

export interface LaunchFacts<Record extends AdoptionRecord = AdoptionRecord> {
  record: Record
  /** Of the plan: a sentence each. */
  warnings: string[]
}

export interface LaunchResult<Record extends AdoptionRecord = AdoptionRecord> {
  facts: LaunchFacts<Record>
  fds: Descriptors
  /** Of a launcher that this very process has started ahead. */
  late?: LateWord | undefined
}

/** `init`, `keeper`, `door`, `trust`, `console`, `root`, `ns:TYPE`, `cgroup:INDEX`, `stdio:NAME`. */
export type Descriptors = Record<string, number>

/** `stdio`: what the shim pumps. The descriptors stay the same, and their owner. */
export function describeLaunch(
  launched: LaunchedProcess & Partial<LaunchedContainer>,
  stdio: Readonly<Record<string, number>>,
): Descriptors {
  const { init, keeper, door, namespaces = {}, root, cgroups = [] } = launched
  const fds: Record<string, number | undefined> = {
    init: init.pidfd,
    keeper: keeper.pidfd,
    ...door.fds,
    root,
    ...prefixed('ns', namespaces),
    ...prefixed('cgroup', Object.fromEntries(cgroups.map(({ dirFd }, index) => [index, dirFd]))),
    ...prefixed('stdio', stdio),
  }
  return Object.fromEntries(Object.entries(fds).filter((entry) => entry[1] !== undefined)) as Descriptors
}

/** The parts of a result that every launched process has, as the shim follows them. */
export function launchedProcess({ facts, fds, late }: LaunchResult): {
  init: ProcessHandle
  keeper: KeeperHandle
  console: number | undefined
  fds: Record<string, number>
  door: Door
} {
  const { record } = facts
  const { console, trust } = fds
  return {
    init: { pid: record.initPid, pidfd: fds['init']! },
    keeper: {
      pid: record.keeperPid,
      pidfd: fds['keeper']!,
      startTime: record.keeperStartTime,
      word: trust,
    },
    console,
    fds: withPrefix('stdio', fds),
    door: new Door({ door: fds['door']!, trust, console }, record.behind ?? nothingBehind, late),
  }
}

/** What a container's result has beside that. */
export function launchedInside({ facts, fds }: LaunchResult): {
  namespaces: Partial<Record<NamespaceType, number>>
  root: number | undefined
  cgroups: CgroupHandle[]
} {
  return {
    namespaces: withPrefix('ns', fds),
    root: fds['root'],
    cgroups: facts.record.cgroups.map((cgroup, index) => ({ ...cgroup, dirFd: fds[`cgroup:${index}`]! })),
  }
}

function prefixed(prefix: string, fds: Readonly<Record<string, number>>): Descriptors {
  return Object.fromEntries(Object.entries(fds).map(([name, fd]) => [`${prefix}:${name}`, fd]))
}

function withPrefix(prefix: string, fds: Descriptors): Descriptors {
  const start = `${prefix}:`
  return Object.fromEntries(
    Object.entries(fds).flatMap(([name, fd]) =>
      name.startsWith(start) ? [[name.slice(start.length), fd] as const] : [],
    ),
  )
}
