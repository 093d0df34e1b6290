import { describe, expect, it } from 'vitest'
import { cpuWeight } from './resources.ts'
import {
  configJson,
  hostV1,
  hostV2,
  indexOf,
  ownUser,
  plan,
  refusal,
  stepsOf,
} from '../minimal.test-support.ts'
import type { Preparation } from '../plan.ts'

type MakeCgroup = Extract<Preparation, { do: 'make-cgroup' }>

function cgroup(linux: object, version: 1 | 2 = 2): MakeCgroup {
  const { preparations } = plan(configJson({}, { ...linux }), version === 1 ? { host: hostV1 } : {})
  return preparations.find((each): each is MakeCgroup => each.do === 'make-cgroup')!
}

const writes = (resources: object, version: 1 | 2 = 2): string[] =>
  cgroup({ resources }, version).writes.map(({ as, file, value }) => `${as} ${file} ${value}`)

const raw = (resources: object, version: 1 | 2 = 2) => cgroup({ resources }, version).writes

const refused = (resources: object, version: 1 | 2 = 2) => refusal(() => cgroup({ resources }, version))

describe('where the cgroup lies', () => {
  it.each([
    [undefined, '/holdfast/c1'],
    ['a/b', '/holdfast/a/b'],
    ['/x//y/', '/x/y'],
  ])('%s → %s', (cgroupsPath, path) => {
    expect(cgroup({ cgroupsPath }).directories).toEqual([
      { as: 'cgroup', path: `/sys/fs/cgroup${path}`, controllers: expect.any(Array) },
    ])
  })

  it('is in every hierarchy of v1, the named and the unified one too', () => {
    const names = cgroup({}, 1).directories.map(({ as }) => as)
    expect(names).toContain('cgroup:name=systemd')
    expect(names).toContain('cgroup:unified')
    expect(names).toContain('cgroup:cpu,cpuacct')
  })

  it.each(['/', '/a/../..', '../x'])('refuses %s', (cgroupsPath) => {
    expect(refusal(() => cgroup({ cgroupsPath })).path).toBe('linux.cgroupsPath')
  })
})

describe('whose the cgroup is', () => {
  const owner = (options: string[], linux: object, host = hostV2) => {
    const mounts = [{ destination: '/sys/fs/cgroup/', type: 'cgroup', options }]
    const json = configJson({ mounts }, { ...linux }, { user: { uid: 5, gid: 5 } })
    return plan(json, { host }).preparations.find((each): each is MakeCgroup => each.do === 'make-cgroup')
      ?.owner
  }

  it('the container user, on v2, where it can write to it', () => {
    expect(owner(['nosuid'], ownUser)).toBe(1_879_048_197)
    expect(owner([], { namespaces: [{ type: 'mount' }, { type: 'cgroup' }] })).toBe(5)
  })

  it('the host otherwise', () => {
    expect(owner(['ro'], ownUser)).toBeUndefined()
    expect(owner([], { namespaces: [{ type: 'mount' }] })).toBeUndefined()
    expect(owner([], ownUser, hostV1)).toBeUndefined()
  })
})

describe('resources on v2', () => {
  it('limits memory, and swap by itself', () => {
    expect(writes({ memory: { limit: 100, swap: 150, reservation: 50 } })).toEqual([
      'cgroup memory.max 100',
      'cgroup memory.low 50',
      'cgroup memory.swap.max 50',
    ])
    expect(writes({ memory: { limit: 100, swap: 100 } })).toContain('cgroup memory.swap.max 0')
    expect(writes({ memory: { limit: 100, swap: -1 } })).toContain('cgroup memory.swap.max max')
    expect(writes({ memory: { limit: -1 } })).toEqual(['cgroup memory.max max', 'cgroup memory.swap.max max'])
  })

  it.each([
    [{ memory: { swap: 100 } }, 'linux.resources.memory.swap'],
    [{ memory: { limit: 100, swap: 50 } }, 'linux.resources.memory.swap'],
    [{ memory: { limit: 100, swap: 200, swappiness: 5 } }, 'linux.resources.memory.swappiness'],
    [{ memory: { kernel: 100 } }, 'linux.resources.memory.kernel'],
    [{ memory: { disableOOMKiller: true } }, 'linux.resources.memory.disableOOMKiller'],
    [{ cpu: { realtimeRuntime: 5 } }, 'linux.resources.cpu.realtimeRuntime'],
    [{ network: { classID: 1 } }, 'linux.resources.network.classID'],
    [{ blockIO: { leafWeight: 100 } }, 'linux.resources.blockIO.leafWeight'],
    [{ blockIO: { weight: 5 } }, 'linux.resources.blockIO.weight'],
    [{ hugepageLimits: [{ pageSize: '2mb', limit: 1 }] }, 'linux.resources.hugepageLimits[0].pageSize'],
  ])('refuses %j', (resources, path) => {
    expect(refused(resources).path).toBe(path)
  })

  it('shares and limits the processor', () => {
    expect(
      writes({
        cpu: { shares: 1024, quota: 50_000, period: 100_000, burst: 10, idle: 1, cpus: '0-1', mems: '0' },
      }),
    ).toEqual([
      'cgroup cpu.weight 100',
      'cgroup cpu.max 50000 100000',
      'cgroup cpu.max.burst 10',
      'cgroup cpu.idle 1',
      'cgroup cpuset.cpus 0-1',
      'cgroup cpuset.mems 0',
    ])
    expect(writes({ cpu: { quota: -1 } })).toEqual(['cgroup cpu.max max 100000'])
    expect(writes({ cpu: { period: 50_000 } })).toEqual(['cgroup cpu.max max 50000'])
    expect(writes({ cpu: { shares: 0 } })).toEqual([])
  })

  it("turns the shares' ends and default into the weights'", () => {
    expect([2, 1024, 262_144].map(cpuWeight)).toEqual([1, 100, 10_000])
    expect([1, 1e9].map(cpuWeight)).toEqual([1, 10_000])
    expect(cpuWeight(2048)).toBeGreaterThan(cpuWeight(1025))
  })

  it.each([
    [0, '0'],
    [-1, 'max'],
    [100, '100'],
  ])('bounds processes: %i → %s', (limit, value) => {
    expect(writes({ pids: { limit } })).toEqual([`cgroup pids.max ${value}`])
  })

  it('throttles and weighs devices', () => {
    const device = { major: 8, minor: 0 }
    expect(
      writes({
        blockIO: {
          weight: 10,
          weightDevice: [{ ...device, weight: 1000 }],
          throttleReadBpsDevice: [{ ...device, rate: 1000 }],
          throttleWriteIOPSDevice: [{ ...device, rate: 0 }],
        },
      }),
    ).toEqual([
      'cgroup io.weight 1',
      'cgroup io.weight 8:0 10000',
      'cgroup io.max 8:0 rbps=1000',
      'cgroup io.max 8:0 wiops=max',
    ])
  })

  it('reserves huge pages before it limits them', () => {
    expect(writes({ hugepageLimits: [{ pageSize: '2MB', limit: 4096 }] })).toEqual([
      'cgroup hugetlb.2MB.rsvd.max 4096',
      'cgroup hugetlb.2MB.max 4096',
    ])
  })

  it('limits rdma', () => {
    expect(writes({ rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10 } } })).toEqual([
      'cgroup rdma.max mlx5_1 hca_handle=3 hca_object=10',
    ])
  })

  it('refuses an rdma device without a limit', () => {
    expect(refused({ rdma: { mlx5_1: {} } })).toMatchObject({
      code: 'HF_INVALID_CONFIG',
      path: 'linux.resources.rdma.mlx5_1',
    })
  })

  it("weighs by BFQ's file where io.cost has none", () => {
    const blockIO = { weight: 500, weightDevice: [{ major: 8, minor: 0, weight: 10 }] }
    expect(raw({ blockIO })).toMatchObject([
      { file: 'io.weight', otherwise: { file: 'io.bfq.weight', value: '500' } },
      { file: 'io.weight', otherwise: { file: 'io.bfq.weight', value: '8:0 10' } },
    ])
  })

  it('looks at what is in use first, where it is asked to', () => {
    expect(raw({ memory: { limit: 4096, checkBeforeUpdate: true } })).toMatchObject([
      { usage: 'memory.current' },
    ])
    expect(raw({ memory: { limit: 4096 } })[0]).not.toHaveProperty('usage')
  })

  it('lifts kernel memory limits, which there are none of', () => {
    expect(raw({ memory: { kernel: -1, kernelTCP: -1 } })).toEqual([])
    expect(refused({ memory: { kernel: 4096 } }).code).toBe('HF_UNSUPPORTED')
  })

  it('writes unified keys, of controllers that are there', () => {
    expect(writes({ unified: { 'memory.high': '1000', 'pids.max': '5' } })).toEqual([
      'cgroup memory.high 1000',
      'cgroup pids.max 5',
    ])
    expect(refused({ unified: { 'misc.max': '1' } })).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path: 'linux.resources.unified.misc.max',
    })
    expect(refused({ unified: { 'cgroup.procs': '1' } }).code).toBe('HF_UNSUPPORTED')
    expect(refused({ unified: { '../memory.max': '1' } }).code).toBe('HF_INVALID_CONFIG')
  })
})

describe('resources on v1', () => {
  it('puts each value where its controller is', () => {
    expect(
      writes(
        {
          memory: {
            limit: 100,
            swap: 150,
            reservation: 50,
            swappiness: 0,
            disableOOMKiller: true,
            kernelTCP: 7,
          },
        },
        1,
      ),
    ).toEqual([
      'cgroup:memory memory.limit_in_bytes 100',
      'cgroup:memory memory.memsw.limit_in_bytes 150',
      'cgroup:memory memory.soft_limit_in_bytes 50',
      'cgroup:memory memory.kmem.tcp.limit_in_bytes 7',
      'cgroup:memory memory.swappiness 0',
      'cgroup:memory memory.oom_control 1',
    ])
    expect(
      writes(
        {
          cpu: { shares: 512, quota: 5000, period: 10_000, realtimeRuntime: 1, realtimePeriod: 2, cpus: '0' },
        },
        1,
      ),
    ).toEqual([
      'cgroup:cpu,cpuacct cpu.shares 512',
      'cgroup:cpu,cpuacct cpu.cfs_period_us 10000',
      'cgroup:cpu,cpuacct cpu.cfs_quota_us 5000',
      'cgroup:cpu,cpuacct cpu.rt_period_us 2',
      'cgroup:cpu,cpuacct cpu.rt_runtime_us 1',
      'cgroup:cpuset cpuset.cpus 0',
    ])
    expect(
      writes(
        { network: { classID: 0x100001, priorities: [{ name: 'eth0', priority: 5 }] }, pids: { limit: -1 } },
        1,
      ),
    ).toEqual([
      'cgroup:pids pids.max max',
      'cgroup:net_cls net_cls.classid 1048577',
      'cgroup:net_prio net_prio.ifpriomap eth0 5',
    ])
    expect(
      writes({ blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 5 }] } }, 1),
    ).toEqual(['cgroup:blkio blkio.bfq.weight 500', 'cgroup:blkio blkio.throttle.read_bps_device 8:0 5'])
  })

  it('says which values bound each other, since their order depends on the old ones', () => {
    const cpu = { quota: 5000, period: 10_000, burst: 1000 }
    expect(raw({ memory: { limit: 100, swap: 150 }, cpu }, 1)).toMatchObject([
      { file: 'memory.limit_in_bytes', orAfterNext: true },
      { file: 'memory.memsw.limit_in_bytes' },
      { file: 'cpu.cfs_period_us', orAfterNext: true },
      { file: 'cpu.cfs_quota_us', orAfterNext: true },
      { file: 'cpu.cfs_burst_us' },
    ])
  })

  it('lifts the limit of memory and swap with that of memory, where it is counted', () => {
    expect(raw({ memory: { limit: -1 } }, 1)).toMatchObject([
      { file: 'memory.limit_in_bytes', value: '-1', orAfterNext: true },
      { file: 'memory.memsw.limit_in_bytes', value: '-1', otherwise: null },
    ])
  })

  it('refuses unified keys, and controllers that are not mounted', () => {
    expect(refused({ unified: { 'memory.high': '1' } }, 1).code).toBe('HF_UNSUPPORTED')
    expect(refused({ rdma: { a: { hcaHandles: 1 } } }, 1)).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path: 'linux.resources.rdma.a',
    })
  })
})

describe('device rules', () => {
  const rules = (devices: object[]) =>
    cgroup({ resources: { devices } }).devices.map(
      ({ allow, type, major, minor, access }) => `${allow ? '+' : '-'}${type} ${major}:${minor} ${access}`,
    )

  it('deny everything that no rule names, and keep the default devices working', () => {
    const [first, ...rest] = rules([{ allow: true, type: 'c', major: 10, minor: -1, access: 'r' }])
    expect(first).toBe('-a *:* rwm')
    expect(rest[0]).toBe('+c 10:* r')
    expect(rest).toContain('+c 1:3 rwm')
    expect(rest).toContain('+c 136:* rwm')
    expect(rest).not.toContain('+c 5:1 rwm')
  })

  it('let the nodes that are asked for be made, and no more than that', () => {
    const linux = {
      devices: [
        { type: 'c', path: '/dev/x', major: 5, minor: 1 },
        { type: 'p', path: '/p' },
      ],
      resources: { devices: [] },
    }
    expect(cgroup(linux).devices).toContainEqual({ allow: true, type: 'c', major: 5, minor: 1, access: 'm' })
  })

  it("keep the configuration's order, and don't say its first rule twice", () => {
    const [first, second] = rules([
      { allow: false, access: 'rwm' },
      { allow: true, type: 'b', major: 8, minor: 0 },
    ])
    expect([first, second]).toEqual(['-a *:* rwm', '+b 8:0 rwm'])
  })
})

describe('the cgroup mount', () => {
  const mounts = [{ destination: '/sys/fs/cgroup', type: 'cgroup', options: ['ro', 'nosuid'] }]
  const ownCgroup = { namespaces: [{ type: 'mount' }, { type: 'cgroup' }] }

  it('is one tree on v2', () => {
    const { steps } = plan(configJson({ mounts }, ownCgroup))
    expect(stepsOf(steps, 'mount')).toMatchObject([
      { type: 'cgroup2', target: '/sys/fs/cgroup', attributes: { readonly: true, nosuid: true } },
    ])
  })

  it('is a tmpfs with a directory for each hierarchy on v1', () => {
    const { steps } = plan(configJson({ mounts }, ownCgroup), { host: hostV1 })
    const [tmpfs, cpu, ...others] = stepsOf(steps, 'mount')
    expect(tmpfs).toMatchObject({ type: 'tmpfs', attributes: { nosuid: true } })
    expect(cpu).toMatchObject({
      type: 'cgroup',
      target: '/sys/fs/cgroup/cpu,cpuacct',
      options: [['cpu'], ['cpuacct']],
      attributes: { readonly: true },
    })
    expect(others).toContainEqual(
      expect.objectContaining({ target: '/sys/fs/cgroup/systemd', options: [['none'], ['name', 'systemd']] }),
    )
    expect(others).toContainEqual(
      expect.objectContaining({ target: '/sys/fs/cgroup/unified', type: 'cgroup2' }),
    )
    expect(stepsOf(steps, 'symlink')).toContainEqual({
      do: 'symlink',
      path: '/sys/fs/cgroup/cpu',
      target: 'cpu,cpuacct',
    })
    expect(stepsOf(steps, 'remount')).toMatchObject([{ target: '/sys/fs/cgroup' }])
  })

  it("shows only the container's own directories on v1 without a cgroup namespace", () => {
    const { steps } = plan(configJson({ mounts }), { host: hostV1 })
    expect(stepsOf(steps, 'stage-bind')).toContainEqual(
      expect.objectContaining({
        source: '/sys/fs/cgroup/memory/holdfast/c1',
        attributes: { set: { readonly: true, nosuid: true }, clear: [] },
      }),
    )
    expect(stepsOf(steps, 'mount').filter(({ type }) => type === 'cgroup')).toEqual([])
  })

  it('is staged by the host where the container owns no cgroup namespace', () => {
    const namespaces = (ownUser.namespaces as { type: string }[]).filter(({ type }) => type !== 'cgroup')
    const { steps } = plan(configJson({ mounts }, { ...ownUser, namespaces }))
    expect(stepsOf(steps, 'stage-mount')).toMatchObject([{ type: 'cgroup2' }])
    expect(indexOf(steps, 'stage-mount')).toBeLessThan(indexOf(steps, 'become-root'))
  })
})
