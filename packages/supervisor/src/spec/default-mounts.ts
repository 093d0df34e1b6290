/** What is mounted in every container, before anything that was asked for. */
import type { OciMount } from '@holdfast/plan'
import type { SpecInput } from './spec-input.ts'

const defaultShmSize = 64 * 1024 * 1024

export function defaultMounts(input: SpecInput): OciMount[] {
  const { Privileged } = input.hostConfig
  const access = Privileged ? 'rw' : 'ro'
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'], // without nodev: device nodes live here
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      // gid 5 is `tty` everywhere: what grantpt(3) expects.
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', cgroupAccess(input)],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    ...sharedMemory(input),
  ]
}

/** A v1 hierarchy is never writable: its release_agent runs on the host (CVE-2022-0492). */
function cgroupAccess({ hostConfig, host }: SpecInput): string {
  return hostConfig.Privileged && host.cgroupVersion === 2 ? 'rw' : 'ro'
}

function sharedMemory({ shm, hostConfig }: SpecInput): OciMount[] {
  if (shm === 'none') return []
  const options = ['nosuid', 'noexec', 'nodev']
  if (shm !== 'own')
    return [
      {
        destination: '/dev/shm',
        type: 'bind',
        source: shm.source,
        options: ['rbind', 'rprivate', ...options],
      },
    ]
  const size = hostConfig.ShmSize || defaultShmSize
  return [
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...options, 'mode=1777', `size=${size}`],
    },
  ]
}
