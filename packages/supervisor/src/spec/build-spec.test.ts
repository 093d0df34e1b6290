import { describe, expect, it } from 'vitest'
import { allCapabilities, parseConfigJson, planContainer } from '@holdfast/plan'
import { buildSpec } from './build-spec.ts'
import { defaultCapabilities } from './capabilities.ts'
import { config, host, input, refusal } from './input.test-support.ts'
import type { HostConfig } from '../engine/container-config.ts'
import type { SpecInput, SpecMount } from './spec-input.ts'

const build = (hosts: Partial<HostConfig> = {}, extra: Partial<SpecInput> = {}) =>
  buildSpec(input(hosts, extra)).config
const mountAt = (destination: string, hosts: Partial<HostConfig> = {}, extra: Partial<SpecInput> = {}) =>
  build(hosts, extra).mounts?.find((mount) => mount.destination === destination)
const refused = (hosts: Partial<HostConfig>, extra: Partial<SpecInput> = {}) =>
  refusal(() => build(hosts, extra))
const bounding = (hosts: Partial<HostConfig>) => build(hosts).process?.capabilities?.bounding?.toSorted()

describe('a default container', () => {
  it('becomes a plan, through JSON and back', () => {
    const { config: spec, idmap, init } = buildSpec(input())
    const options = {
      id: 'a',
      bundle: '/b',
      stage: '/s',
      init,
      cgroupParent: '/holdfast',
      pivot: 'pivot' as const,
      rootfs: { kind: 'overlay' as const, lower: ['/l'], upper: '/u', work: '/w', idmap },
      host: {
        cgroup: { version: 2 as const, mount: '/sys/fs/cgroup', controllers: [] },
        overlayLowerFd: true,
        capabilities: host.capabilities.map((name) => allCapabilities.indexOf(name)),
        architecture: 'x86_64' as const,
      },
    }
    expect(planContainer(parseConfigJson(JSON.stringify(spec)), options).startable).toBe(true)
  })

  it("has Docker's fourteen capabilities, none of them inheritable or ambient", () => {
    expect(build().process?.capabilities).toEqual({
      bounding: defaultCapabilities,
      permitted: defaultCapabilities,
      effective: defaultCapabilities,
      inheritable: [],
      ambient: [],
    })
    expect(defaultCapabilities).toHaveLength(14)
  })

  it('lives in namespaces and ids of its own', () => {
    const { linux } = build()
    expect(linux?.namespaces?.map(({ type }) => type).toSorted()).toEqual([
      'cgroup',
      'ipc',
      'mount',
      'network',
      'pid',
      'time',
      'user',
      'uts',
    ])
    expect(linux?.uidMappings).toEqual([{ containerID: 0, hostID: 1_879_048_192, size: 65_536 }])
    expect(linux?.gidMappings).toEqual(linux?.uidMappings)
  })

  it("sees proc, dev, sys and its cgroup, read-only where they are the host's", () => {
    const mounts = build().mounts ?? []
    expect(mounts.map(({ destination }) => destination)).toEqual([
      '/proc',
      '/dev',
      '/dev/pts',
      '/sys',
      '/sys/fs/cgroup',
      '/dev/mqueue',
      '/dev/shm',
      '/etc/resolv.conf',
      '/etc/hostname',
      '/etc/hosts',
    ])
    expect(mountAt('/sys')?.options).toContain('ro')
    expect(mountAt('/sys/fs/cgroup')?.options).toContain('ro')
    expect(mountAt('/dev/shm')?.options).toContain('size=67108864')
    expect(mountAt('/etc/hosts')).toMatchObject({
      source: '/c/hosts',
      options: ['bind', 'rprivate', 'rw', 'idmap'],
    })
  })

  it('masks what tells of the host, side channels of its processors too', () => {
    const { linux } = build(
      {},
      { host: { ...host, thermalThrottle: ['/sys/devices/system/cpu/cpu0/thermal_throttle'] } },
    )
    expect(linux?.maskedPaths).toContain('/proc/kcore')
    expect(linux?.maskedPaths).toContain('/sys/devices/system/cpu/cpu0/thermal_throttle')
    expect(linux?.readonlyPaths).toContain('/proc/sys')
    expect(build({ MaskedPaths: [], ReadonlyPaths: ['/x'] }).linux).toMatchObject({
      maskedPaths: [],
      readonlyPaths: ['/x'],
    })
  })

  it("reaches no device that no rule names: not the host's console, not tun", () => {
    expect(build().linux?.resources?.devices).toEqual([{ allow: false, access: 'rwm' }])
    expect(build({ UsernsMode: 'host' }, { idRange: null }).linux?.resources?.devices).toEqual([
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', access: 'm' },
      { allow: true, type: 'b', access: 'm' },
    ])
  })

  it('has a filter', () => {
    expect(build().linux?.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO')
  })

  it('may bind low ports and ping in its network', () => {
    expect(build().linux?.sysctl).toEqual({
      'net.ipv4.ip_unprivileged_port_start': '0',
      'net.ipv4.ping_group_range': '0 65535',
    })
    const shared = { ...input().namespaces, net: { path: '/n' } }
    expect(build({}, { namespaces: shared }).linux?.sysctl).toEqual({})
  })
})

describe('capabilities', () => {
  it.each<[string[], string[], string[]]>([
    [['NET_ADMIN'], [], [...defaultCapabilities, 'CAP_NET_ADMIN']],
    [
      ['cap_net_admin'],
      ['CHOWN'],
      [...defaultCapabilities.filter((name) => name !== 'CAP_CHOWN'), 'CAP_NET_ADMIN'],
    ],
    [[], ['ALL'], []],
    [['CHOWN'], ['all'], ['CAP_CHOWN']],
    [['ALL'], ['NET_ADMIN'], host.capabilities.filter((name) => name !== 'CAP_NET_ADMIN')],
    [['KILL'], ['KILL'], defaultCapabilities.slice()],
  ])('add %j, drop %j', (CapAdd, CapDrop, expected) => {
    expect(bounding({ CapAdd, CapDrop })).toEqual(expected.toSorted())
  })

  it('have names', () => {
    expect(refused({ CapAdd: ['FLY'] })).toEqual({
      code: 'HF_BAD_REQUEST',
      field: 'HostConfig.CapAdd',
      message: 'invalid CapAdd: unknown capability: "CAP_FLY"',
    })
  })

  it('that the host lacks are named in a warning', () => {
    expect(buildSpec(input({ CapAdd: ['SYS_TIME'] })).warnings).toEqual([
      'CAP_SYS_TIME is left out: this host cannot grant it',
    ])
  })
})

describe('a privileged container', () => {
  const spec = build({ Privileged: true })

  it('has what the host can grant, and nothing hidden', () => {
    expect(spec.process?.capabilities?.bounding).toEqual(host.capabilities)
    expect(spec.linux).toMatchObject({ maskedPaths: [], readonlyPaths: [], uidMappings: [] })
    expect(spec.linux?.seccomp).toBeUndefined()
    expect(spec.linux?.resources?.devices).toEqual([{ allow: true, access: 'rwm' }])
  })

  it('writes sysfs, and its cgroup on v2 only: a v1 release_agent would run on the host', () => {
    expect(mountAt('/sys', { Privileged: true })?.options).toContain('rw')
    expect(mountAt('/sys/fs/cgroup', { Privileged: true })?.options).toContain('rw')
    expect(
      mountAt('/sys/fs/cgroup', { Privileged: true }, { host: { ...host, cgroupVersion: 1 } })?.options,
    ).toContain('ro')
  })
})

describe('mounts', () => {
  const bind = (extra: object = {}): SpecMount => ({
    type: 'bind',
    source: '/s',
    subdir: '',
    destination: '/d',
    readonly: true,
    recursiveReadonly: true,
    recursive: true,
    propagation: 'rprivate',
    ...extra,
  })

  it('are read-only all the way down, with the owners that the host sees', () => {
    expect(mountAt('/d', {}, { mounts: [bind()] })?.options).toEqual(['rbind', 'rprivate', 'rro', 'ridmap'])
    expect(mountAt('/d', {}, { mounts: [bind({ recursive: false })] })?.options).toEqual([
      'bind',
      'rprivate',
      'ro',
      'idmap',
    ])
    expect(mountAt('/d', {}, { mounts: [bind({ readonly: false })], idRange: null })?.options).toEqual([
      'rbind',
      'rprivate',
    ])
  })

  it('replace defaults and files of the same place, and all of /dev by /dev', () => {
    const at = (destination: string) =>
      build({}, { mounts: [bind({ destination })] }).mounts?.map((mount) => mount.destination)
    expect(at('/etc/hosts')?.filter((each) => each === '/etc/hosts')).toHaveLength(1)
    expect(at('/dev/shm')?.filter((each) => each === '/dev/shm')).toHaveLength(1)
    expect(at('/dev')?.filter((each) => each.startsWith('/dev'))).toEqual(['/dev'])
  })

  it('come shallow ones first', () => {
    const mounts = [
      bind({ destination: '/a/b/c' }),
      bind({ destination: '/a' }),
      bind({ destination: '/a/b' }),
    ]
    const destinations = build({}, { mounts })
      .mounts?.map(({ destination }) => destination)
      .filter((each) => each.startsWith('/a'))
    expect(destinations).toEqual(['/a', '/a/b', '/a/b/c'])
  })

  it("can't be shared with the host out of a user namespace", () => {
    expect(refused({}, { mounts: [bind({ propagation: 'rshared' })] })).toMatchObject({
      code: 'HF_UNSUPPORTED',
      field: 'HostConfig.Binds',
    })
    expect(
      mountAt('/d', {}, { mounts: [bind({ propagation: 'rshared' })], idRange: null })?.options,
    ).toContain('rshared')
  })

  it('of tmpfs execute nothing unless asked', () => {
    expect(mountAt('/t', { Tmpfs: { '/t': '' } })?.options).toEqual(['noexec', 'nosuid', 'nodev'])
    expect(mountAt('/t', { Tmpfs: { '/t': 'rw,exec,size=1m,mode=700,size=2m' } })?.options).toEqual([
      'nosuid',
      'nodev',
      'rw',
      'exec',
      'mode=700',
      'size=2m',
    ])
    expect(
      mountAt(
        '/t',
        {},
        { mounts: [{ type: 'tmpfs', destination: '/t', readonly: true, options: ['size=5'] }] },
      )?.options,
    ).toContain('ro')
    expect(refused({ Tmpfs: { '/t': 'oops' } }).field).toBe('HostConfig.Tmpfs')
    expect(refused({ Tmpfs: { t: '' } }).field).toBe('HostConfig.Tmpfs')
  })

  it('take the shared memory that the ipc namespace comes with', () => {
    expect(mountAt('/dev/shm', {}, { shm: 'none' })).toBeUndefined()
    expect(mountAt('/dev/shm', {}, { shm: { source: '/other/shm' } })).toMatchObject({
      type: 'bind',
      source: '/other/shm',
    })
    expect(mountAt('/dev/shm', { ShmSize: 1000 })?.options).toContain('size=1000')
  })

  it("of the engine's files are read-only with the root", () => {
    expect(build({ ReadonlyRootfs: true }).root?.readonly).toBe(true)
    expect(mountAt('/etc/hosts', { ReadonlyRootfs: true })?.options).toContain('ro')
  })
})

describe('the process', () => {
  it("has Docker's environment", () => {
    const env = (Env: string[], Tty = false) => build({}, { config: { ...config, Env, Tty } }).process?.env
    expect(env([])).toEqual([
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'HOSTNAME=box',
      'HOME=/root',
    ])
    expect(env(['PATH=/bin', 'A=1=2', 'HOME=/h'], true)).toEqual([
      'PATH=/bin',
      'HOSTNAME=box',
      'TERM=xterm',
      'A=1=2',
      'HOME=/h',
    ])
    expect(env(['HOSTNAME'])).not.toContain('HOSTNAME=box')
  })

  it('runs as the user found, with all groups, in its directory', () => {
    const { process } = build(
      {},
      { config: { ...config, WorkingDir: '/w' }, user: { uid: 5, gid: 6, groups: [6, 7], home: '/' } },
    )
    expect(process).toMatchObject({ cwd: '/w', user: { uid: 5, gid: 6, additionalGids: [6, 7] } })
  })

  it('has a terminal of the size asked for', () => {
    const { process } = build({ ConsoleSize: [30, 100] }, { config: { ...config, Tty: true } })
    expect(process).toMatchObject({ terminal: true, consoleSize: { height: 30, width: 100 } })
    expect(build({ ConsoleSize: [30, 100] }).process?.consoleSize).toBeUndefined()
  })

  it('has the limits asked for, -1 for none', () => {
    const Ulimits = [
      { Name: 'nofile', Soft: 5, Hard: 10 },
      { Name: 'core', Soft: 0, Hard: -1 },
      { Name: 'nofile', Soft: 6, Hard: 10 },
    ]
    expect(build({ Ulimits }).process?.rlimits).toEqual([
      { type: 'RLIMIT_NOFILE', soft: 6, hard: 10 },
      { type: 'RLIMIT_CORE', soft: 0, hard: 2n ** 64n - 1n },
    ])
    expect(refused({ Ulimits: [{ Name: 'as', Soft: 1, Hard: 1 }] })).toMatchObject({
      message: 'invalid ulimit type: as',
      field: 'HostConfig.Ulimits',
    })
    expect(refused({ Ulimits: [{ Name: 'core', Soft: 2, Hard: 1 }] }).code).toBe('HF_BAD_REQUEST')
  })

  it('gains nothing by exec where that is asked for', () => {
    for (const option of ['no-new-privileges', 'no-new-privileges:true', 'no-new-privileges=true'])
      expect(build({ SecurityOpt: [option] }).process?.noNewPrivileges).toBe(true)
    expect(build({ SecurityOpt: ['no-new-privileges=false'] }).process?.noNewPrivileges).toBe(false)
  })
})

describe('security options', () => {
  it('choose the filter', () => {
    expect(build({ SecurityOpt: ['seccomp=unconfined'] }).linux?.seccomp).toBeUndefined()
    const own = build({
      SecurityOpt: [
        'seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO"}]}',
      ],
    })
    expect(own.linux?.seccomp).toMatchObject({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir'] }],
    })
    expect(build({ Privileged: true, SecurityOpt: ['seccomp=builtin'] }).linux?.seccomp).toBeDefined()
  })

  it.each([
    ['seccomp={', 'HF_BAD_REQUEST', 'HostConfig.SecurityOpt'],
    ['seccomp=[]', 'HF_BAD_REQUEST', 'HostConfig.SecurityOpt'],
    ['seccomp={"defaultAction":"X"}', 'HF_INVALID_CONFIG', 'linux.seccomp.defaultAction'],
    ['apparmor=mine', 'HF_UNSUPPORTED', 'HostConfig.SecurityOpt'],
    ['label=level:s0', 'HF_UNSUPPORTED', 'HostConfig.SecurityOpt'],
    ['nonsense', 'HF_BAD_REQUEST', 'HostConfig.SecurityOpt'],
    ['no-new-privileges=perhaps', 'HF_BAD_REQUEST', 'HostConfig.SecurityOpt'],
  ])('refuse %s', (option, code, field) => {
    expect(refused({ SecurityOpt: [option] })).toMatchObject({ code, field })
  })

  it('say what costs nothing: no AppArmor, no SELinux', () => {
    const options = ['apparmor=unconfined', 'label=disable', 'label:disable']
    expect(build({ SecurityOpt: options })).toEqual(build({}))
  })
})

describe('limits', () => {
  const resources = (hosts: Partial<HostConfig>) => build(hosts).linux?.resources
  const MiB = 1024 * 1024

  it('are absent where nothing is asked for', () => {
    expect(resources({ PidsLimit: 0, MemorySwappiness: -1 })).toEqual({ devices: expect.any(Array) })
  })

  it('give as much swap as memory', () => {
    expect(resources({ Memory: 64 * MiB })?.memory).toEqual({ limit: 64 * MiB, swap: 128 * MiB })
    expect(resources({ Memory: 64 * MiB, MemorySwap: -1 })?.memory?.swap).toBe(-1)
    expect(resources({ Memory: 64 * MiB, MemorySwap: 64 * MiB })?.memory?.swap).toBe(64 * MiB)
  })

  it('leave swap alone, and say so, where the kernel does not count it', () => {
    const bare = { host: { ...input().host, swapLimit: false } }
    const spec = buildSpec(input({ Memory: 64 * MiB }, bare))
    expect(spec.config.linux?.resources?.memory).toEqual({ limit: 64 * MiB })
    expect(spec.warnings).toEqual([expect.stringContaining('Memory limited without swap')])
    expect(buildSpec(input({}, bare)).warnings).toEqual([])
  })

  it('warn of a container that may use up all memory', () => {
    const v1 = { host: { ...input().host, cgroupVersion: 1 as const } }
    expect(buildSpec(input({ OomKillDisable: true }, v1)).warnings).toEqual([
      expect.stringContaining('no memory limit is set'),
    ])
    expect(buildSpec(input({ OomKillDisable: true, Memory: 64 * MiB }, v1)).warnings).toEqual([])
  })

  it('turn --cpus into a quota', () => {
    expect(resources({ NanoCpus: 1.5e9 })?.cpu).toEqual({ quota: 150_000, period: 100_000 })
    expect(resources({ CpuShares: 512, CpusetCpus: '0-1,3' })?.cpu).toEqual({ shares: 512, cpus: '0-1,3' })
  })

  it('bound processes', () => {
    expect(resources({ PidsLimit: 10 })?.pids).toEqual({ limit: 10 })
    expect(resources({ PidsLimit: -5 })?.pids).toEqual({ limit: -1 })
  })

  it.each<[Partial<HostConfig>, string]>([
    [{ Memory: MiB }, 'HostConfig.Memory'],
    [{ Memory: 64 * MiB, MemorySwap: 32 * MiB }, 'HostConfig.MemorySwap'],
    [{ MemorySwap: 64 * MiB }, 'HostConfig.MemorySwap'],
    [{ Memory: 64 * MiB, MemoryReservation: 65 * MiB }, 'HostConfig.MemoryReservation'],
    [{ MemorySwappiness: 101 }, 'HostConfig.MemorySwappiness'],
    [{ MemorySwappiness: 10 }, 'HostConfig.MemorySwappiness'],
    [{ OomKillDisable: true }, 'HostConfig.OomKillDisable'],
    [{ NanoCpus: 5e9 }, 'HostConfig.NanoCpus'],
    [{ NanoCpus: 1e9, CpuPeriod: 5000 }, 'HostConfig.NanoCpus'],
    [{ CpuPeriod: 5 }, 'HostConfig.CpuPeriod'],
    [{ CpuQuota: 5 }, 'HostConfig.CpuQuota'],
    [{ CpusetCpus: '0-' }, 'HostConfig.CpusetCpus'],
    [{ CpusetCpus: '1-0' }, 'HostConfig.CpusetCpus'],
    [{ CpusetCpus: '2-7' }, 'HostConfig.CpusetCpus'],
    [{ CpusetMems: '1' }, 'HostConfig.CpusetMems'],
    [{ CpuRealtimeRuntime: 5 }, 'HostConfig.CpuRealtimeRuntime'],
    [{ CpuShares: -1 }, 'HostConfig.CpuShares'],
    [{ CgroupParent: '/a/../../b' }, 'HostConfig.CgroupParent'],
  ])('refuse %j', (hosts, field) => {
    expect(refused(hosts).field).toBe(field)
  })
})

describe('devices', () => {
  const device = {
    path: '/dev/kvm',
    type: 'c',
    major: 10,
    minor: 232,
    fileMode: 0o660,
    uid: 0,
    gid: 5,
    access: 'rw',
  } as const

  it('are made, and allowed as far as asked', () => {
    const { linux } = build({ DeviceCgroupRules: ['b 8:* r'] }, { devices: [device] })
    expect(linux?.devices).toEqual([
      { path: '/dev/kvm', type: 'c', major: 10, minor: 232, fileMode: 0o660, uid: 0, gid: 5 },
    ])
    expect(linux?.resources?.devices?.slice(1)).toEqual([
      { allow: true, type: 'c', major: 10, minor: 232, access: 'rw' },
      { allow: true, type: 'b', major: 8, minor: -1, access: 'r' },
    ])
  })

  it.each(['c 1:3', 'x 1:3 r', 'c 1:3 rr', 'c 1:3 rwmx', 'c a:3 r'])('refuses the rule "%s"', (rule) => {
    expect(refused({ DeviceCgroupRules: [rule] })).toMatchObject({
      field: 'HostConfig.DeviceCgroupRules',
      message: `invalid device cgroup rule format: '${rule}'`,
    })
  })
})

describe('namespaces', () => {
  it('are joined by path, or left to the host', () => {
    const namespaces = { ...input().namespaces, net: { path: '/proc/1/ns/net' }, pid: 'host' as const }
    const listed = build({}, { namespaces }).linux?.namespaces
    expect(listed).toContainEqual({ type: 'network', path: '/proc/1/ns/net' })
    expect(listed?.map(({ type }) => type)).not.toContain('pid')
  })

  it('have no hostname of their own where uts is shared', () => {
    const shared = { ...input().namespaces, uts: 'host' as const }
    expect(build({}, { namespaces: shared }).hostname).toBeUndefined()
    expect(build().hostname).toBe('box')
  })

  it('may be ahead in time', () => {
    expect(build({ TimeOffsets: { boottime: -1.5, monotonic: 0 } }).linux?.timeOffsets).toEqual({
      boottime: { secs: -2, nanosecs: 500_000_000 },
    })
    const shared = { ...input().namespaces, time: 'host' as const }
    expect(refused({ TimeOffsets: { boottime: 1 } }, { namespaces: shared }).field).toBe(
      'HostConfig.TimeOffsets',
    )
  })

  it('have their sysctls, and no others', () => {
    expect(
      build({ Sysctls: { 'net.core.somaxconn': '9', 'net.ipv4.ip_unprivileged_port_start': '80' } }).linux
        ?.sysctl,
    ).toMatchObject({
      'net.core.somaxconn': '9',
      'net.ipv4.ip_unprivileged_port_start': '80',
    })
    expect(refused({ Sysctls: { 'kernel.core_pattern': '|/x' } }).code).toBe('HF_UNSUPPORTED')
    expect(
      refused(
        { Sysctls: { 'net.core.somaxconn': '9' } },
        { namespaces: { ...input().namespaces, net: 'host' } },
      ).field,
    ).toBe('HostConfig.Sysctls')
  })

  it('keep their cgroup beneath the parent asked for', () => {
    expect(build().linux?.cgroupsPath).toBe('a'.repeat(64))
    expect(build({ CgroupParent: '/custom' }).linux?.cgroupsPath).toBe(`/custom/${'a'.repeat(64)}`)
  })
})
