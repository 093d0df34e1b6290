/** A minimal valid request, resolved: each test shows only what differs from it. */
import type { ContainerConfig, HostConfig } from '../engine/container-config.ts'
import { emptyConfig, emptyHostConfig } from '../engine/empty-config.ts'
import type { SpecHost, SpecInput } from './spec-input.ts'

export const config: ContainerConfig = {
  ...emptyConfig(),
  AttachStdout: true,
  AttachStderr: true,
  Cmd: ['true'],
  Image: 'busybox',
}

export const hostConfig: HostConfig = {
  ...emptyHostConfig(),
  NetworkMode: '',
  RestartPolicy: { Name: '', MaximumRetryCount: 0 },
  LogConfig: { Type: '', Config: {} },
}

export const host: SpecHost = {
  architecture: 'x86_64',
  cgroupVersion: 2,
  cpus: 4,
  cpuset: { cpus: '0-3', mems: '0' },
  swapLimit: true,
  kernel: [6, 1],
  thermalThrottle: [],
  capabilities: [
    'CAP_AUDIT_WRITE',
    'CAP_CHOWN',
    'CAP_DAC_OVERRIDE',
    'CAP_FOWNER',
    'CAP_FSETID',
    'CAP_KILL',
    'CAP_MKNOD',
    'CAP_NET_ADMIN',
    'CAP_NET_BIND_SERVICE',
    'CAP_NET_RAW',
    'CAP_SETFCAP',
    'CAP_SETGID',
    'CAP_SETPCAP',
    'CAP_SETUID',
    'CAP_SYS_ADMIN',
    'CAP_SYS_CHROOT',
    'CAP_SYS_PTRACE',
  ],
}

export function input(hosts: Partial<HostConfig> = {}, extra: Partial<SpecInput> = {}): SpecInput {
  const range = { start: 1_879_048_192, size: 65_536 }
  return {
    id: 'a'.repeat(64),
    config,
    args: ['true'],
    user: { uid: 0, gid: 0, groups: [0], home: '/root' },
    idRange: hosts.Privileged ? null : range,
    mounts: [],
    files: { hosts: '/c/hosts', hostname: '/c/hostname', resolvConf: '/c/resolv.conf' },
    namespaces: {
      cgroup: 'new',
      ipc: 'new',
      mnt: 'new',
      net: 'new',
      pid: 'new',
      time: 'new',
      user: hosts.Privileged ? 'host' : 'new',
      uts: 'new',
    },
    shm: 'own',
    hostname: 'box',
    domainname: '',
    devices: [],
    blockIO: undefined,
    host,
    ...extra,
    hostConfig: { ...hostConfig, ...hosts },
  }
}

/** The code and the field of what `work` throws. */
export function refusal(work: () => unknown): { code: string; field: unknown; message: string } {
  try {
    work()
  } catch (error) {
    const { code, details, message } = error as {
      code: string
      details?: { field?: unknown; path?: unknown }
      message: string
    }
    return { code, field: details?.field ?? details?.path, message }
  }
  throw new Error('nothing was refused')
}
