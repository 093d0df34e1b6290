/** What to do about a step that failed: from the kind of step and the errno to advice. The one place for it. */
import type { Step } from '@holdfast/plan'

type Advice = Partial<Record<string, string>>

const idmapAdvice =
  'The file system of this path cannot map ids. Use --userns=host, or move the data to ext4, xfs, btrfs or tmpfs.'

const linkAdvice =
  'The image has a symbolic link where the mount goes: none may be in /proc, /sys and /dev, nor lead there or to the root.'

const advice: Partial<Record<Step['do'], Advice>> = {
  join: {
    EPERM: "The namespace belongs to a user namespace that this container doesn't join.",
    EINVAL: 'The namespace is of another type, or its pid namespace is not a descendant of ours.',
  },
  'join-process': { ESRCH: 'The container has ended.' },
  'become-root': { EINVAL: 'The user namespace maps no id 0.' },
  clone: {
    ENOSPC: 'The limit of namespaces is reached: see /proc/sys/user/max_*_namespaces.',
    EUSERS: 'The limit of nested namespaces or of user namespaces is reached.',
    EAGAIN: 'The limit of processes is reached: see pids.max of the cgroups above, and ulimit -u.',
    ENOMEM: 'Out of memory, or the pid namespace that was joined has no init any more.',
    EBUSY: 'The cgroup has controllers enabled for its children, so no process may be in it itself.',
  },
  door: { EPERM: 'The seccomp profile refuses read(2), with which the program is waited for: allow it.' },
  rlimit: { EPERM: 'Raising a hard limit takes CAP_SYS_RESOURCE, which this machine does not give.' },
  'oom-score-adj': {
    EACCES: 'Lowering oom_score_adj takes CAP_SYS_RESOURCE, which this machine does not give.',
  },
  scheduler: {
    EPERM: 'Real-time and deadline policies take CAP_SYS_NICE; on cgroup v1 also cpu.rt_runtime_us.',
  },
  'io-priority': { EPERM: 'The real-time I/O class takes CAP_SYS_ADMIN or CAP_SYS_NICE.' },
  'cpu-affinity': { EINVAL: 'None of these CPUs exists, or the cpuset allows none of them.' },
  'join-cgroups': {
    EBUSY: 'The cgroup has controllers enabled for its children, so no process may be in it itself.',
    ENOSPC: 'The cpuset has no CPUs or memory nodes.',
    EAGAIN: 'The pids limit of the cgroup is reached.',
  },
  'stage-overlay': {
    EINVAL:
      'Overlay refused its layers; dmesg(1) has its reason. Ids of layers need Linux 5.19 to be mapped.',
    EBUSY: 'Another overlay uses the upper or work directory.',
    ESTALE: 'The upper directory was used with other layers before.',
    ENOENT: 'A layer is missing; the image may have been removed.',
    E2BIG: 'The image has too many layers for this kernel.',
  },
  'stage-bind': {
    ENOENT: 'The source of the mount does not exist.',
    EINVAL: idmapAdvice,
    EPERM: idmapAdvice,
    ENOTSUP: idmapAdvice,
    ENODEV: 'The path is not the device that was asked for.',
    EXDEV: 'The subdirectory leads out of the source.',
    ENOTDIR: 'The source is not a directory.',
    EISDIR: 'The source is a directory.',
  },
  'enter-root': {
    EACCES:
      "Hooks need the root at its own path, and the container's root may not walk there: give every directory above it the x bit for others.",
  },
  mount: {
    ENODEV: 'The kernel does not have this file system.',
    EINVAL: 'The kernel does not know one of the options, or refuses its value.',
    EPERM: "The container's user namespace may not mount this: it shares a namespace that another one owns.",
    ELOOP: linkAdvice,
    EROFS: 'The mount point does not exist and the root is read-only.',
    ENOTDIR: 'The image has a file where the mount goes, or on the way to it.',
  },
  attach: {
    ENOTDIR: 'One of source and target is a directory and the other is not.',
    EINVAL: 'One of source and target is a directory and the other is not.',
    ELOOP: linkAdvice,
    EROFS: 'The mount point does not exist and the root is read-only.',
  },
  mask: { ELOOP: 'The image has a symbolic link at a path that must be masked.' },
  'readonly-path': { ELOOP: 'The image has a symbolic link at a path that must be read-only.' },
  remount: { EPERM: 'Attributes that the host set on a mount cannot be cleared inside a user namespace.' },
  mknod: {
    EPERM: 'Devices cannot be made inside a user namespace; they are bound from the host instead.',
    EEXIST: 'Another file is at this path in the image.',
  },
  pivot: { EINVAL: "The host's root is the initial ramfs, which can't be left: use --no-pivot." },
  hostname: { EINVAL: 'A host name has at most 64 bytes.' },
  sysctl: {
    ENOENT: 'The kernel does not have this setting, or not in a namespace.',
    EACCES: 'Not writable by the owner of the namespace.',
    EPERM: 'Not writable by the owner of the namespace.',
    EINVAL: 'The kernel refuses the value.',
  },
  console: { ENOENT: 'A terminal needs devpts mounted at /dev/pts.' },
  user: {
    EINVAL: "The id is outside of the user namespace's map.",
    EPERM: 'The user namespace denies setgroups(2), or CAP_SETUID and CAP_SETGID are missing.',
    EAGAIN: 'The limit of processes of this user is reached.',
  },
  capabilities: {
    EPERM: 'A capability is not in the bounding or permitted set, or not in the inheritable set for ambient.',
  },
  seccomp: {
    EINVAL: 'The kernel refuses the filter, or does not know one of its flags.',
    EBUSY: 'Another filter of this process has a listener already.',
  },
  chdir: {
    ENOENT: 'The working directory does not exist in the container.',
    ENOTDIR: 'The working directory is a file.',
    EACCES: "The container's user may not enter the working directory.",
    ELOOP: 'The working directory leads through links that are not followed, those in /proc for instance.',
  },
  hook: { ETIMEDOUT: 'The hook ran longer than its timeout.', ECANCELED: 'The hook ended with an error.' },
}

/** Undefined where there is nothing to say beyond the errno itself. */
export function launchHint(step: Step['do'], code: string): string | undefined {
  return advice[step]?.[code]
}
