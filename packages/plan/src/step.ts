/**
 * The steps from which a container's launch is made. `plan` orders them, the shim's executor encodes them into the
 * launcher's flat table one by one, and the launcher (packages/core/launcher) carries them out in that order.
 *
 * Stage one runs in the launcher as started: with the host's rights, in the host's user namespace. The `clone` step
 * makes the container's init; from there on the list goes on in the init (stage two), while the process of stage one
 * becomes the keeper. Steps up to `door` belong to OCI's `create`, those behind it to `start`.
 *
 * A step that names a path inside the container resolves it beneath the root descriptor with
 * openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS); for /proc, /sys, /dev and everything beneath them also with
 * RESOLVE_NO_SYMLINKS. A step that mounts never gives the kernel a path: it moves a mount descriptor.
 */

/** A namespace, in the words of namespaces(7)'s /proc/PID/ns files. */
export type NamespaceType = 'cgroup' | 'ipc' | 'mnt' | 'net' | 'pid' | 'time' | 'user' | 'uts'

/** The name of a descriptor that the shim hands to the launcher: `userns`, `ns:net`, `stdin`, `cgroup:memory`, … */
export type FdName = string

/** The name of a mount that stage one prepared and stage two attaches: a file name in the stage area, without slashes. */
export type StagedMount = string

/** Mount attributes as mount_setattr(2) takes them. `atime` is one of its three exclusive values. */
export interface MountAttributes {
  readonly?: boolean
  nosuid?: boolean
  nodev?: boolean
  noexec?: boolean
  nodiratime?: boolean
  nosymfollow?: boolean
  atime?: 'relatime' | 'noatime' | 'strictatime'
}

/** mount_namespaces(7). */
export type Propagation = 'private' | 'shared' | 'slave' | 'unbindable'

/** Attributes of an existing tree: what to set and what to clear, on the top mount, then on the whole tree. */
export interface TreeAttributes {
  set: MountAttributes
  clear: (keyof MountAttributes)[]
  recursive?: { set: MountAttributes; clear: (keyof MountAttributes)[] }
}

/** A step, and the JSON path of what asks for it, where its kind alone doesn't say (see step-field.ts). */
export type Step = StepKind & { field?: string }

type StepKind =
  // ---- stage one: with the host's rights -------------------------------------------------------------------
  /** unshare(2). */
  | { do: 'unshare'; namespaces: NamespaceType[] }
  /** mount_setattr(2) of the propagation of the mount at `path` of the current mount namespace. */
  | { do: 'set-propagation'; path: string; propagation: Propagation; recursive: boolean }
  /** A private tmpfs over the existing directory `path`: staged mounts are attached beneath it. */
  | { do: 'stage-area'; path: string }
  /**
   * An overlay mount, staged as `as`. `lower` from top to bottom. With `idmap` each lower layer is an idmapped clone
   * (open_tree, mount_setattr with that user namespace); upper and work are plain. `method` is how the layers are
   * named to the kernel: `fd` (lowerdir+ with descriptors, Linux 6.15 for detached idmapped clones) or `path`
   * (the clones attached in the stage area and named in lowerdir=). `options`: key or key=value, as fsconfig(2).
   */
  | {
      do: 'stage-overlay'
      as: StagedMount
      lower: string[]
      upper: string
      work: string
      idmap?: FdName
      method: 'fd' | 'path'
      attributes: MountAttributes
      options: string[]
    }
  /**
   * A clone of what lies at the host path `source`, staged as `as`: open_tree(2) with OPEN_TREE_CLONE, then
   * mount_setattr(2). `subdir` is looked up beneath `source` (RESOLVE_BENEATH): links in it lead
   * nowhere outside. `expect` is verified by fstat(2) on the clone. `idmap` maps the tree by that user namespace.
   * One that must stay a peer of the host's mount (propagation `shared`) comes before `set-propagation` and before
   * `stage-area`: its clone stays detached until the stage area is there.
   */
  | {
      do: 'stage-bind'
      as: StagedMount
      source: string
      subdir?: string
      recursive: boolean
      attributes: TreeAttributes
      idmap?: FdName
      recursiveIdmap?: boolean
      expect?: DeviceNumber | 'directory' | 'file'
    }
  /**
   * A new file system staged as `as`, mounted by stage one because the container may not: it has a user namespace of
   * its own, and the file system belongs to a namespace (joined by now) that another one owns, or to none.
   */
  | {
      do: 'stage-mount'
      as: StagedMount
      type: string
      source: string
      attributes: MountAttributes
      options: [key: string, value?: string][]
    }
  /**
   * A device node made in the stage area, staged as `as`: mknod(2) is refused in a user namespace, and a tmpfs that the
   * host's user namespace owns (mounted without nodev) is where a node still works. `uid`, `gid` are the host's ids.
   */
  | { do: 'stage-device'; as: StagedMount; device: DeviceNumber; mode: number; uid: number; gid: number }
  /**
   * The staged tree becomes read-only before a user namespace can own it, or CAP_SYS_ADMIN inside can undo it. What
   * will be mounted needs its mount points first: each is made beneath the tree where it is missing (RESOLVE_IN_ROOT),
   * parents included, owned by the host ids `uid`, `gid`; `source` names the staged mount whose root says which kind.
   */
  | {
      do: 'stage-readonly'
      staged: StagedMount
      uid: number
      gid: number
      mountPoints: { path: string; kind: 'directory' | 'file' | 'source'; source?: StagedMount }[]
    }
  /** setns(2) into a namespace whose descriptor the shim opened. */
  | { do: 'join'; namespace: NamespaceType; fd: FdName }
  /** setns(2) with a pidfd: several namespaces of a running process at once (exec). */
  | { do: 'join-process'; pidfd: FdName; namespaces: NamespaceType[] }
  /**
   * setgroups(2) with no groups, setresgid(2) and setresuid(2) to 0: root of the user namespace just joined. `rootless`:
   * where nobody may change groups in there they are kept.
   */
  | { do: 'become-root'; rootless?: boolean }
  /** timens_offsets(5 proc), written after unshare(time) and before the clone. */
  | { do: 'time-offsets'; monotonic?: TimeOffset; boottime?: TimeOffset }
  /**
   * prlimit(2). `hard` and `soft` are decimal strings of unsigned 64-bit numbers (RLIM_INFINITY included). With
   * `raise` only the hard limit, and only upwards: stage one has the right to, and must not be starved of
   * descriptors or processes by the rest, which follows in the init.
   */
  | { do: 'rlimit'; resource: string; soft: string; hard: string; raise?: boolean }
  /** `rootless`: in the host's user namespace still, by the one that the file belongs to. */
  | { do: 'oom-score-adj'; value: number; rootless?: boolean }
  /** /proc/self/attr: the label that the program has once it is executed, or that keys made until then have. */
  | { do: 'security-label'; attribute: 'exec' | 'apparmor/exec' | 'keycreate'; label: string }
  /** sched_setattr(2). */
  | {
      do: 'scheduler'
      policy: string
      nice: number
      priority: number
      flags: string[]
      runtime: string
      deadline: string
      period: string
    }
  /** ioprio_set(2). */
  | { do: 'io-priority'; class: string; priority: number }
  /** sched_setaffinity(2); a list of CPU numbers. */
  | { do: 'cpu-affinity'; cpus: number[] }
  /** set_mempolicy(2). */
  | { do: 'memory-policy'; mode: string; nodes: number[]; flags: string[] }
  | { do: 'personality'; domain: 'LINUX' | 'LINUX32' }
  /**
   * clone3(2) of the init (or of the exec'd process) with these new namespaces. The parent becomes the keeper and
   * keeps only the descriptors in `keep`. `cgroup` is a cgroup v2 directory for CLONE_INTO_CGROUP.
   */
  | { do: 'clone'; namespaces: NamespaceType[]; keep: FdName[]; cgroup?: FdName }

  // ---- stage two: in the container's init -------------------------------------------------------------------
  /** Writes "0" to each of these cgroup.procs descriptors, opened by the shim. */
  | { do: 'join-cgroups'; procs: FdName[] }
  /** setsid(2). */
  | { do: 'new-session' }
  /**
   * keyctl_join_session_keyring(2) with a keyring of this name. `findable`: a new one gets the permission by which
   * other processes of its user find it by its name, which the kernel doesn't give by itself.
   */
  | { do: 'session-keyring'; name: string; findable?: boolean }
  /**
   * Clones the staged tree, attaches it over the stage area's own root and opens it as the container's root. With `at`
   * it is attached at that host path instead, where hooks look for it.
   */
  | { do: 'enter-root'; staged: StagedMount; at?: string }
  /** A new file system: fsopen(2), fsconfig(2) once per option, fsmount(2), move_mount(2) onto `target`. */
  | {
      do: 'mount'
      type: string
      source: string
      target: string
      attributes: MountAttributes
      options: [key: string, value?: string][]
      propagation?: { value: Propagation; recursive: boolean }
      /** Copy what the image has at `target` into the new file system first (tmpfs). */
      copyUp?: boolean
      /** Its root has the permissions of the directory that it covers, where there is one. */
      keepMode?: boolean
    }
  /**
   * A clone of a staged mount moved onto `target`, which is made if missing, as directory or empty file; `source`:
   * whichever of the two the staged mount's root is (fstat(2) on the descriptor), for binds of the configuration.
   */
  | {
      do: 'attach'
      staged: StagedMount
      target: string
      kind: 'directory' | 'file' | 'source'
      propagation?: { value: Propagation; recursive: boolean }
    }
  /** Changes attributes and propagation of a mount that is already at `target` (OCI option `remount`). */
  | {
      do: 'remount'
      target: string
      attributes: TreeAttributes
      propagation?: { value: Propagation; recursive: boolean }
    }
  /** mknodat(2), fchmodat(2), fchownat(2) beneath the root. An existing node that matches is left; another is an error. */
  | {
      do: 'mknod'
      path: string
      device: DeviceNumber | { type: 'p' }
      mode: number
      uid: number
      gid: number
    }
  /** symlinkat(2) beneath the root; an existing entry is left alone. `ifExists`: only where that path exists. */
  | { do: 'symlink'; path: string; target: string; ifExists?: string }
  /** A directory beneath the root with its parents. */
  | { do: 'mkdir'; path: string; mode: number }
  /** Stops until the shim answers: in the meantime it moves network devices and runs prestart and createRuntime hooks. */
  | { do: 'sync'; point: 'create-runtime' }
  /** Runs a program and waits: createContainer (before pivot) and startContainer hooks. State JSON on its stdin. */
  | {
      do: 'hook'
      kind: 'createContainer' | 'startContainer'
      path: string
      args: string[]
      env: string[]
      timeoutMs?: number
      /** The first `%PID%` stands for the init's pid as the container's pid namespace counts it. */
      state: string
    }
  /** Makes the root `/`: pivot_root(".", ".") and umount2(MNT_DETACH); `chroot` for --no-pivot. */
  | { do: 'pivot'; method: 'pivot' | 'chroot' }
  /**
   * Where the container has no mount namespace of its own: joins that of the descriptor, attaches a clone of the root
   * with all that is in it onto the directory `at` there, and makes it `/` by chroot(2).
   */
  | { do: 'plant-root'; namespace: FdName; at: string }
  /** chroot(2) into the directory that the descriptor is open on. */
  | { do: 'change-root'; directory: FdName }
  /** mount_setattr(2) of the root itself. */
  | { do: 'root-attributes'; set: MountAttributes; propagation?: { value: Propagation; recursive: boolean } }
  /** A file hides behind /dev/null, a directory behind an empty read-only tmpfs; a missing path is skipped. */
  | { do: 'mask'; path: string }
  /** A recursive read-only bind of the path onto itself; a missing path is skipped. */
  | { do: 'readonly-path'; path: string }
  | { do: 'hostname'; name: string }
  | { do: 'domainname'; name: string }
  /** SIOCSIFFLAGS: `lo` up in the current network namespace. */
  | { do: 'loopback-up' }
  /** Writes a sysctl through a private, unattached procfs handle. `key` in dotted or slashed form, as sysctl(8). */
  | { do: 'sysctl'; key: string; value: string }
  /** A pty of the container's own devpts (TIOCGPTPEER): stdio, controlling terminal, /dev/console where `bind`. Without `gid` devpts' own choice stays. */
  | { do: 'console'; rows: number; columns: number; bind: boolean; uid: number; gid?: number }
  /** dup2(2) of the shim's pipe ends to 0, 1, 2; a name that is missing means /dev/null. */
  | { do: 'stdio'; stdin?: FdName; stdout?: FdName; stderr?: FdName }
  | { do: 'umask'; mask: number }
  /** prctl(PR_CAPBSET_DROP) of every capability that is not listed. Names as in capabilities(7). */
  | { do: 'bounding-set'; keep: string[] }
  /** setgroups(2), setresgid(2), setresuid(2), keeping the permitted set across them (PR_SET_KEEPCAPS). */
  | { do: 'user'; uid: number; gid: number; groups: number[]; rootless?: boolean }
  | { do: 'no-new-privileges' }
  /** capset(2), then the ambient set by prctl(2). */
  | { do: 'capabilities'; effective: string[]; permitted: string[]; inheritable: string[]; ambient: string[] }
  /** seccomp(2) with the filter that core compiles from this profile; a listener goes to the shim. */
  | { do: 'seccomp'; profile: SeccompProfile }
  /** chdir(2) in the container, made if missing where `create`; getcwd(2) must then begin with "/". */
  | { do: 'chdir'; path: string; create: boolean }
  /**
   * Looks the program up as `exec` will, so that `create` already fails where it isn't there or may not be executed.
   * `path` is the PATH to search; without one the same default as `exec`'s.
   */
  | { do: 'find-program'; program: string; path?: string }
  /**
   * Reports readiness and waits until `start` opens the door. Failures from here on belong to `start`. With `listen`,
   * a listening socket, whoever connects to it and writes a byte opens the door; else the report channel's other end.
   * A `silent` one reports nothing: who is to open it may have done so by then, and nobody is woken for it.
   */
  | { do: 'door'; listen?: FdName; silent?: true }
  /** Descriptors that the program inherits beside stdio, as 3 and on. */
  | { do: 'preserve'; fds: FdName[] }
  /** execve(2), looked up along PATH of `env` as execvp(3). With `init` the program stays as PID 1 and reaps. */
  | { do: 'exec'; args: string[]; env: string[]; init: boolean }

/** makedev(3). */
export interface DeviceNumber {
  type: 'b' | 'c'
  major: number
  minor: number
}

/** What a clock of a time namespace is ahead by; time_namespaces(7). */
export interface TimeOffset {
  secs: number
  nanosecs: number
}

/** OCI runtime-spec `linux.seccomp`. */
export interface SeccompProfile {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  listenerPath?: string
  listenerMetadata?: string
  syscalls?: SeccompRule[]
}

/** OCI runtime-spec `linux.seccomp.syscalls[]`. */
export interface SeccompRule {
  names: string[]
  action: string
  errnoRet?: number
  args?: { index: number; value: number | bigint; valueTwo?: number | bigint; op: string }[]
}

/** One line of /proc/PID/uid_map. */
export interface IdMapping {
  containerID: number
  hostID: number
  size: number
}
