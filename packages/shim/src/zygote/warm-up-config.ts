/**
 * The container that the warm-up makes: everything that an ordinary one has, so that nothing of what a shim does for
 * one is compiled for the first time in the shim. Its root is empty, and nothing ever runs in it.
 */
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { canIdmap } from '@holdfast/core'
import type { ShimSpec } from '@holdfast/protocol'

export interface WarmUpBundle {
  config: object
  rootfs: NonNullable<ShimSpec['rootfs']>
}

/** Ids of nobody: beyond those that engines hand out, and no file of theirs outlives the warm-up. */
const firstId = 0x7fff_0000

/** Makes the directories that it names beneath `dir`. */
export function warmUpBundle(dir: string): WarmUpBundle {
  const path = (name: string): string => join(dir, name)
  for (const name of ['rootfs', 'lower', 'upper', 'work']) mkdirSync(path(name), { recursive: true })
  const mapped = canIdmap(path('lower'))
  writeFileSync(path('hosts'), '')
  if (mapped) chownSync(path('upper'), firstId, firstId)
  const layers = { lower: [path('lower')], upper: path('upper'), work: path('work') }
  return { config: configOf(path('hosts'), mapped), rootfs: { kind: 'overlay', ...layers, idmap: mapped } }
}

function configOf(hosts: string, mapped: boolean): object {
  const map = [{ containerID: 0, hostID: firstId, size: 1000 }]
  const types = ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup', 'time', ...(mapped ? ['user'] : [])]
  return {
    ociVersion: '1.2.0',
    root: { path: 'rootfs' },
    hostname: 'warm-up',
    process: {
      cwd: '/',
      args: ['true'],
      env: ['PATH=/bin', 'HOME=/'],
      user: { uid: 0, gid: 0, additionalGids: [0] },
      capabilities: { bounding: ['CAP_CHOWN'], effective: ['CAP_CHOWN'], permitted: ['CAP_CHOWN'] },
      rlimits: [],
      oomScoreAdj: 0,
    },
    mounts: [
      ...fileSystems,
      {
        destination: '/etc/hosts',
        type: 'bind',
        source: hosts,
        options: ['rbind', 'rprivate', ...(mapped ? ['idmap'] : [])],
      },
    ],
    linux: {
      namespaces: types.map((type) => ({ type })),
      ...(mapped && { uidMappings: map, gidMappings: map }),
      maskedPaths: ['/proc/kcore', '/proc/acpi'],
      readonlyPaths: ['/proc/sys'],
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' },
      resources: { pids: { limit: 10 }, devices: [{ allow: false, access: 'rwm' }] },
      seccomp,
    },
  }
}

const secure = ['nosuid', 'noexec', 'nodev']

const fileSystems = [
  { destination: '/proc', type: 'proc', source: 'proc', options: secure },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666'],
  },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...secure, 'ro'] },
  { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...secure, 'ro'] },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: secure },
  { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...secure, 'mode=1777'] },
]

/** One rule of each kind. */
const seccomp = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [
    { names: ['ptrace', 'bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    {
      names: ['socket'],
      action: 'SCMP_ACT_ERRNO',
      args: [{ index: 0, value: 38, valueTwo: 0, op: 'SCMP_CMP_EQ' }],
    },
  ],
}
