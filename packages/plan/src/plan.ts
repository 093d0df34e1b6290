import type { FdName, IdMapping, NamespaceType, SeccompProfile, Step } from './step.ts'

/** What the shim makes or opens before the launcher starts. `undo` of each is the shim's `delete`. */
export type Preparation =
  /**
   * A new user namespace with these maps; its descriptor becomes `as`: `userns`, or `idmap:N` for one mount's maps.
   * `rootless`: whoever makes it has no rights over the ids of others.
   */
  | { do: 'make-userns'; as: FdName; uid: IdMapping[]; gid: IdMapping[]; rootless?: boolean }
  /**
   * Opens a namespace by path, verifies its type, and names the descriptor `as`. With `notOurs` one that the shim
   * itself lives in is refused: the plan sets what belongs to the namespace, and would change the host.
   */
  | {
      do: 'open-namespace'
      namespace: NamespaceType
      path: string
      as: FdName
      field: string
      notOurs?: boolean
    }
  /**
   * Makes the container's cgroup: `directories` are absolute, one per hierarchy on v1 (`cgroup:<controllers>`), one
   * on v2 (`cgroup`). Each becomes two descriptors: `<as>` (the directory) and `<as>:procs` (cgroup.procs, for
   * writing). `writes` are made in order; `enable` lists v2 controllers to switch on along the way down. A new v1
   * cpuset directory takes its parent's cpus and mems first: nothing can join while they are empty. `owner` is the
   * host's id of whom the v2 directory is delegated to, with the files that /sys/kernel/cgroup/delegate names.
   */
  | {
      do: 'make-cgroup'
      version: 1 | 2
      directories: { as: FdName; path: string; controllers: string[] }[]
      enable: string[]
      writes: CgroupWrite[]
      devices: DeviceRule[]
      owner?: number
    }

/** One value for one control file of a cgroup. */
export interface CgroupWrite {
  as: FdName
  file: string
  value: string
  /** JSON path of the field it comes from. */
  field: string
  /** Where the kernel has no such file: another that takes its place, or (`null`) nothing is written. */
  otherwise?: { file: string; value: string } | null
  /** Refused by the kernel (EINVAL) while the next one has its old value, it is written after that one. */
  orAfterNext?: boolean
  /** The file that says what is in use: more than the value is refused before anything is written. */
  usage?: string
}

/** One rule of OCI's `linux.resources.devices`; v1: devices.allow/deny, v2: a BPF program made by core. */
export interface DeviceRule {
  allow: boolean
  type: 'a' | 'b' | 'c'
  major: number | '*'
  minor: number | '*'
  access: string
}

/** A hook that the shim itself runs, in the host's namespaces. */
export interface ShimHook {
  path: string
  args: string[]
  env: string[]
  timeoutMs?: number
}

/** A network device of the host that becomes the container's. */
export interface NetDevice {
  from: string
  /** Its name in the container; one `%d` stands for the first number that is free there. */
  to: string
  /** JSON path of what asks for it. */
  field: string
}

/** What makes one container: everything decided, nothing done. */
export interface ContainerPlan {
  preparations: Preparation[]
  steps: Step[]
  /** Which namespaces are new, joined, or the host's. */
  namespaces: Record<NamespaceType, 'new' | 'joined' | 'host'>
  /** The directory in the mount namespace that is not the container's own on which its root is mounted. */
  plantedAt?: string
  terminal: boolean
  /** Moved into the container's network namespace at the plan's `sync` step, before any hook. */
  netDevices: NetDevice[]
  /** createRuntime: the deprecated prestart hooks first. */
  hooks: { createRuntime: ShimHook[]; poststart: ShimHook[]; poststop: ShimHook[] }
  /** Whether the configuration has a `process`: without one, `create` works and `start` must refuse. */
  startable: boolean
  /** What was left out with good reason, a sentence each: a capability that this host can't grant. */
  warnings?: string[]
}

/** What makes one more process in a running container. */
export interface ExecPlan {
  steps: Step[]
  terminal: boolean
  warnings?: string[]
}

/** What an exec needs to know of the container it enters. */
export interface ExecPlanOptions {
  /** As the container's plan says. */
  namespaces: Record<NamespaceType, 'new' | 'joined' | 'host'>
  /** A pidfd of the container's init. */
  pidfd: FdName
  /** The `cgroup.procs` descriptors of the container's cgroup: `cgroupProcs(plan)`. */
  cgroupProcs: FdName[]
  seccomp?: SeccompProfile
  /** The container's session keyring, `sessionKeyring(id)`; without it the process has the caller's. */
  keyring?: string
  /**
   * The cgroup v2 directory in which the process is born, and the container's cgroup namespace. Until then nobody in the
   * container sees whoever carries the plan out.
   */
  birth?: { cgroup: FdName; namespace: FdName }
  /** A descriptor of the container's root, where its mount namespace has another one. */
  root?: FdName
  host: HostFacts
}

/** What the plan must know of the machine; gathered by the shim (and by `hold explain`), never by `plan`. */
export interface HostFacts {
  /** v2: one unified tree. v1: one directory per hierarchy; hybrid hosts are v1 with the v2 tree among them. */
  cgroup:
    | { version: 2; mount: string; controllers: string[] }
    | { version: 1; hierarchies: CgroupHierarchy[] }
  /** overlay accepts detached idmapped clones as lowerdir+ descriptors. */
  overlayLowerFd: boolean
  /** Numbers of the capabilities in the shim's own bounding set: what it can grant. */
  capabilities: number[]
  architecture: 'x86_64' | 'aarch64'
  /** The security modules that are at work; one that isn't named isn't. */
  apparmor?: boolean
  selinux?: boolean
  /**
   * Whoever carries the plan out is not root, or root of a user namespace alone: everything is made inside the container's
   * user namespace, device nodes are the host's, and groups are kept where the kernel lets nobody change them.
   */
  rootless?: boolean
}

/** One hierarchy of cgroup v1, and where it is mounted. */
export interface CgroupHierarchy {
  /** `memory`, `cpu,cpuacct`, `name=systemd`; empty for the v2 tree of a hybrid host. */
  controllers: string[]
  mount: string
}

/** Where the container's root comes from, when it isn't the configuration's `root.path` as it stands. */
export interface OverlayRootfs {
  kind: 'overlay'
  /** Absolute paths, top layer first. */
  lower: string[]
  upper: string
  work: string
  /** Idmap the lower layers by the container's user namespace. */
  idmap: boolean
}

/** What the caller of a plan adds to the OCI configuration. */
export interface PlanOptions {
  id: string
  /** The bundle: relative paths of the configuration start here. */
  bundle: string
  /** An existing empty directory of the shim's own: the stage area. */
  stage: string
  rootfs?: OverlayRootfs
  /** PID 1 is a reaper that starts the program (`--init`). */
  init: boolean
  /** Where relative `cgroupsPath`s start, `/holdfast`. */
  cgroupParent: string
  pivot: 'pivot' | 'chroot'
  /** False: the container keeps the caller's session keyring (`--no-new-keyring`). */
  newKeyring?: boolean
  /** False: the container stays in its maker's cgroups, whose paths are those of `within`, by each hierarchy's mount point. */
  cgroups?: { within: Readonly<Record<string, string>> }
  /** The caller unmounts `plantedAt` at the container's end: one without a mount namespace of its own may have a root. */
  plants?: boolean
  host: HostFacts
}
