/** What a launch hands to the shim. Every descriptor here is close-on-exec and belongs to the caller, who closes it. */
import type { ContainerPlan, NamespaceType } from '@holdfast/plan'
import type { BehindDoor, Door } from './door.ts'
import type { VaultRecord } from '../network/socket-vault.ts'

/** A process held by descriptor: a pid alone may be reused. */
export interface ProcessHandle {
  pid: number
  pidfd: number
}

/** The parent of a launched process. It reaps it, writes the exit record, and ends. */
export interface KeeperHandle extends ProcessHandle {
  /** Field 22 of /proc/PID/stat, in clock ticks since boot: with the pid it names the process across restarts. */
  startTime: string
  /** The channel on which it was entrusted with the process, and tells of its end; absent after an adoption. */
  word?: number | undefined
}

/** A cgroup directory: one on v2, one for each hierarchy on v1. */
export interface CgroupHandle {
  /** The name from the plan's `make-cgroup`: `cgroup`, `cgroup:memory`, … */
  as: string
  path: string
  /** The directory, read-only. */
  dirFd: number
  controllers: string[]
  /** Of this hierarchy: a hybrid host has both. */
  version: 1 | 2
  /** It was there before: not ours to kill, nor to remove while somebody lives in it. */
  existed?: boolean
}

/** What is written down of it. */
export type CgroupRecord = Omit<CgroupHandle, 'dirFd'>

export interface LaunchOptions {
  /** Shown by ps(1): `holdfast: keeper NAME`. */
  name: string
  /** The shim's directory, where the keeper writes the exit record. */
  directory: string
  /** The process's ends of the pipes; a missing one is /dev/null. They stay the caller's. Ignored with a terminal. */
  stdio: { stdin?: number; stdout?: number; stderr?: number }
  /** Descriptors of which the keeper holds a second copy for the process's life, by the names used on adoption. */
  keep: Record<string, number>
  /** The exit record's file name in `directory`: `exit.json`, `exec-ID.exit.json`. */
  recordName: string
  /**
   * Takes the notification descriptor of a seccomp profile with SCMP_ACT_NOTIFY, at once: the launcher itself may be
   * waiting for it. `pid` is the host's. Without this it is closed, and what notifies fails with ENOSYS.
   */
  onListener?(listener: number, pid: number): Promise<void>
  /** How long the preparation in the launcher may take, in milliseconds; 60,000 unless given. */
  timeoutMs?: number
  /** Gives the launch up: nothing is left of it. */
  signal?: AbortSignal | undefined
}

export interface CreateOptions extends LaunchOptions {
  /** Called as soon as the init exists, and its namespaces with it, while it still makes its root. */
  onBorn?(init: ProcessHandle): void
  /** Called at the plan's `sync` step: the namespaces exist, the root is not yet entered. `pid` is the host's. */
  onCreateRuntime(pid: number): Promise<void>
  /** Called when all is made, before `createContainer` returns it; where it throws, nothing is left. */
  onReady?(launched: LaunchedContainer): Promise<void>
}

export interface ExecOptions extends LaunchOptions {
  /** The running container: its init's pidfd is joined, and its cgroups. */
  container: { init: ProcessHandle; cgroups: CgroupRecord[] }
}

export interface LaunchedProcess {
  init: ProcessHandle
  keeper: KeeperHandle
  /** The pty's master, where the plan asked for a terminal. */
  console?: number
  /** Entrusts the keeper, and lets the program run. */
  door: Door
  /** Names of `keep` (and `door`, `console`) → numbers in the keeper's own table, for adoption by a later shim. */
  keeperFds: Record<string, number>
}

export interface LaunchedContainer extends LaunchedProcess {
  /** Of the container's init, one for each type; the host's where the plan neither makes nor joins one. */
  namespaces: Record<NamespaceType, number>
  /** O_PATH descriptor of the container's root directory. */
  root: number
  cgroups: CgroupHandle[]
  /** The container's user namespace, where the plan made or joined one. */
  userns?: number
}

/** What a later shim needs to find a running container again; written to its state file by the first. */
export interface AdoptionRecord {
  initPid: number
  /** Field 22 of the init's /proc/PID/stat. */
  initStartTime: string
  keeperPid: number
  keeperStartTime: string
  keeperFds: Record<string, number>
  /** Of one that may stand at its door still. */
  behind?: BehindDoor
  cgroups: CgroupRecord[]
}

/** Of the container itself also what its plan said that its shim goes on needing. */
export interface ContainerRecord extends AdoptionRecord {
  namespaces: ContainerPlan['namespaces']
  /** Whether hooks run after `start` or `delete`: then the configuration is read again. */
  hooks: boolean
  startable: boolean
  /** Absent where the network is the host's. */
  vault?: VaultRecord
}

/** A container found again through its keeper. */
export interface AdoptedContainer {
  /** Absent where the process is gone. */
  init?: ProcessHandle
  keeper?: KeeperHandle
  /** Taken from the keeper by pidfd_getfd(2), under the names of `keeperFds`. */
  taken: Record<string, number>
  namespaces?: Record<NamespaceType, number>
  root?: number
  cgroups: CgroupHandle[]
  /** Of a container that was created and not started. */
  door?: Door
}
