/** `features` (features.md, features-linux.md): what this program knows, on whatever host. */
import { allCapabilities } from '@holdfast/plan'
import type { Call } from './call.ts'

export function printFeatures({ print }: Call): void {
  print(`${JSON.stringify(features, null, 4)}\n`)
}

const plain = [
  'async atime defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev',
  'nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow',
  'relatime remount ro rw silent strictatime suid symfollow sync',
].flatMap((line) => line.split(' '))
const recursive = [
  'ratime rdev rdiratime rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime',
  'rnosuid rnosymfollow rrelatime rro rrw rstrictatime rsuid rsymfollow',
].flatMap((line) => line.split(' '))
const propagations = ['private', 'shared', 'slave', 'unbindable'].flatMap((name) => [name, `r${name}`])

export const features = {
  ociVersionMin: '1.0.0',
  ociVersionMax: '1.3.0',
  hooks: ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'],
  mountOptions: [
    'bind',
    'idmap',
    'rbind',
    'ridmap',
    'tmpcopyup',
    ...plain,
    ...propagations,
    ...recursive,
  ].sort(),
  linux: {
    namespaces: ['cgroup', 'ipc', 'mount', 'network', 'pid', 'time', 'user', 'uts'],
    capabilities: [...allCapabilities],
    cgroup: { v1: true, v2: true, systemd: false, systemdUser: false, rdma: true },
    seccomp: {
      enabled: true,
      actions: [
        'SCMP_ACT_ALLOW',
        'SCMP_ACT_ERRNO',
        'SCMP_ACT_KILL',
        'SCMP_ACT_KILL_PROCESS',
        'SCMP_ACT_KILL_THREAD',
        'SCMP_ACT_LOG',
        'SCMP_ACT_NOTIFY',
        'SCMP_ACT_TRACE',
        'SCMP_ACT_TRAP',
      ],
      operators: [
        'SCMP_CMP_EQ',
        'SCMP_CMP_GE',
        'SCMP_CMP_GT',
        'SCMP_CMP_LE',
        'SCMP_CMP_LT',
        'SCMP_CMP_MASKED_EQ',
        'SCMP_CMP_NE',
      ],
      archs: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM', 'SCMP_ARCH_X32', 'SCMP_ARCH_X86', 'SCMP_ARCH_X86_64'],
      knownFlags: [
        'SECCOMP_FILTER_FLAG_LOG',
        'SECCOMP_FILTER_FLAG_SPEC_ALLOW',
        'SECCOMP_FILTER_FLAG_TSYNC',
        'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV',
      ],
      supportedFlags: [
        'SECCOMP_FILTER_FLAG_LOG',
        'SECCOMP_FILTER_FLAG_SPEC_ALLOW',
        'SECCOMP_FILTER_FLAG_TSYNC',
        'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV',
      ],
    },
    apparmor: { enabled: false },
    selinux: { enabled: false },
    intelRdt: { enabled: false },
    mountExtensions: { idmap: { enabled: true } },
    netDevices: { enabled: false },
    memoryPolicy: {
      modes: [
        'MPOL_BIND',
        'MPOL_DEFAULT',
        'MPOL_INTERLEAVE',
        'MPOL_LOCAL',
        'MPOL_PREFERRED',
        'MPOL_PREFERRED_MANY',
        'MPOL_WEIGHTED_INTERLEAVE',
      ],
      flags: ['MPOL_F_NUMA_BALANCING', 'MPOL_F_RELATIVE_NODES', 'MPOL_F_STATIC_NODES'],
    },
  },
  annotations: {},
  potentiallyUnsafeConfigAnnotations: [],
}
