/** `spec`: a configuration to start from, in the bundle's directory. */
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { hostFacts } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import type { Call } from '../front-end/call.ts'
import { parseOptions, usage } from '../front-end/options.ts'

export function spec({ request }: Call): void {
  const { value, on } = parseOptions(request.args, {
    switches: ['rootless'],
    values: ['bundle'],
    aliases: { b: 'bundle' },
  })
  const path = join(resolve(request.cwd, value['bundle'] ?? '.'), 'config.json')
  try {
    writeFileSync(path, `${JSON.stringify(on.has('rootless') ? rootless() : forThisHost(), null, '\t')}\n`, {
      flag: 'wx',
      mode: 0o666,
    })
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    throw usage(`File ${path} exists. Remove it first`)
  }
}

/** As runc: on cgroup v1 without a cgroup namespace, so that a tree of the host's depth is seen. */
function forThisHost(): typeof example {
  if (hostFacts().cgroup.version === 2) return example
  const namespaces = example.linux.namespaces.filter(({ type }) => type !== 'cgroup')
  return { ...example, linux: { ...example.linux, namespaces } }
}

const capabilities = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE']
const secure = ['nosuid', 'noexec', 'nodev']

const example = {
  ociVersion: '1.2.0',
  process: {
    terminal: true,
    user: { uid: 0, gid: 0 },
    args: ['sh'],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
    cwd: '/',
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
    noNewPrivileges: true,
  },
  root: { path: 'rootfs', readonly: true },
  hostname: 'holdfast',
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
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
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...secure, 'mode=1777', 'size=65536k'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: secure },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...secure, 'ro'] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...secure, 'relatime', 'ro'],
    },
  ],
  linux: {
    resources: { devices: [{ allow: false, access: 'rwm' }] },
    namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
    maskedPaths: [
      '/proc/acpi',
      '/proc/asound',
      '/proc/kcore',
      '/proc/keys',
      '/proc/latency_stats',
      '/proc/timer_list',
      '/proc/timer_stats',
      '/proc/sched_debug',
      '/sys/firmware',
      '/proc/scsi',
    ],
    readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
  },
}

/** In a user namespace of the caller's one id: no network of its own, sysfs bound from the host. */
function rootless(): object {
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0]
  const namespaces = [...example.linux.namespaces.filter(({ type }) => type !== 'network'), { type: 'user' }]
  const mounts = example.mounts
    .filter(({ destination }) => destination !== '/sys/fs/cgroup')
    .map((mount) =>
      mount.destination === '/sys'
        ? { destination: '/sys', type: 'none', source: '/sys', options: ['rbind', ...secure, 'ro'] }
        : {
            ...mount,
            ...(mount.options && { options: mount.options.filter((each) => !each.startsWith('gid=')) }),
          },
    )
  return {
    ...example,
    mounts,
    linux: {
      ...example.linux,
      resources: undefined,
      namespaces,
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    },
  }
}
