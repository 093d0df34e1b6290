import { describe, expect, it } from 'vitest'
import { configJson, ownUser, plan } from './minimal.test-support.ts'
import { stepField } from './step-field.ts'

const everything = configJson(
  {
    hostname: 'h',
    domainname: 'd',
    mounts: [
      { destination: '/proc', type: 'proc' },
      { destination: '/b', source: '/s', options: ['bind'] },
    ],
    hooks: { createContainer: [{ path: '/a' }], startContainer: [{ path: '/b' }, { path: '/c' }] },
  },
  {
    namespaces: ['mount', 'pid', 'network', 'uts', 'time'].map((type) => ({ type })),
    timeOffsets: { monotonic: { secs: 1 } },
    devices: [{ type: 'c', path: '/dev/x', major: 1, minor: 3 }],
    maskedPaths: ['/m'],
    readonlyPaths: ['/r'],
    sysctl: { 'net.core.somaxconn': '1' },
    personality: { domain: 'LINUX' },
    memoryPolicy: { mode: 'MPOL_LOCAL' },
    seccomp: { defaultAction: 'SCMP_ACT_KILL' },
  },
  {
    terminal: true,
    oomScoreAdj: 1,
    rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 0 }],
    scheduler: { policy: 'SCHED_BATCH' },
    ioPriority: { class: 'IOPRIO_CLASS_BE' },
  },
)

describe('a step', () => {
  it('knows the field of the configuration that it comes from', () => {
    const fields = new Set(plan(everything).steps.flatMap((step) => stepField(step) ?? []))
    expect([...fields].toSorted()).toEqual([
      'domainname',
      'hooks.createContainer[0]',
      'hooks.startContainer[0]',
      'hooks.startContainer[1]',
      'hostname',
      'linux.devices[0]',
      'linux.maskedPaths[0]',
      'linux.memoryPolicy',
      'linux.personality',
      'linux.readonlyPaths[0]',
      'linux.seccomp',
      'linux.sysctl.net.core.somaxconn',
      'linux.timeOffsets',
      'mounts[0]',
      'mounts[1]',
      'process.capabilities',
      'process.cwd',
      'process.ioPriority',
      'process.oomScoreAdj',
      'process.rlimits: RLIMIT_CORE',
      'process.scheduler',
      'process.terminal',
      'process.user',
      'process.user.umask',
      'root.path',
    ])
  })

  it('of a mount keeps it on the way through stage one', () => {
    const { steps } = plan(
      configJson({ mounts: [{ destination: '/b', source: '/s', options: ['bind'] }] }, ownUser),
    )
    const own = steps.filter((step) => stepField(step) === 'mounts[0]').map((step) => step.do)
    expect(own).toEqual(['stage-bind', 'attach'])
  })
})
