import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import type { SeccompProfile, Step } from '@holdfast/plan'
import { ExecutorWorld } from './executor-world.ts'

const world = new ExecutorWorld()
afterAll(() => world[Symbol.asyncDispose]())

const bits = { CAP_CHOWN: 1 << 0, CAP_KILL: 1 << 5, CAP_NET_RAW: 1 << 13 }
const hex = (mask: number): string => mask.toString(16).padStart(16, '0')

async function status(
  last: Step[],
  fields: string,
  namespaces?: ['mnt', 'pid'],
): Promise<Record<string, string>> {
  const { output } = await world.run({
    last,
    args: ['grep', '-E', `^(${fields}):`, '/proc/self/status'],
    ...(namespaces && { namespaces }),
  })
  return Object.fromEntries(
    output
      .trim()
      .split('\n')
      .map((line) => line.split(/:\s+/) as [string, string]),
  )
}

const capFields = 'CapInh|CapPrm|CapEff|CapBnd|CapAmb'

describe.each([
  ['with a user namespace', undefined],
  ["in the host's", ['mnt', 'pid'] as ['mnt', 'pid']],
])('%s', (_, namespaces) => {
  it('root has exactly the five capability sets of the plan', async () => {
    const sets = await status(
      [
        { do: 'bounding-set', keep: ['CAP_CHOWN', 'CAP_KILL'] },
        { do: 'user', uid: 0, gid: 0, groups: [] },
        {
          do: 'capabilities',
          effective: ['CAP_CHOWN'],
          permitted: ['CAP_CHOWN', 'CAP_KILL'],
          inheritable: [],
          ambient: [],
        },
      ],
      capFields,
      namespaces,
    )
    // execve(2) gives root what the bounding set leaves it.
    const both = hex(bits.CAP_CHOWN | bits.CAP_KILL)
    expect(sets).toEqual({ CapInh: hex(0), CapPrm: both, CapEff: both, CapBnd: both, CapAmb: hex(0) })
  })

  it('a user keeps nothing but its bounding set, and with ambient capabilities just these', async () => {
    const drop: Step[] = [
      { do: 'bounding-set', keep: ['CAP_CHOWN', 'CAP_NET_RAW'] },
      { do: 'user', uid: 1000, gid: 1000, groups: [] },
    ]
    const none: Step = { do: 'capabilities', effective: [], permitted: [], inheritable: [], ambient: [] }
    const bounding = hex(bits.CAP_CHOWN | bits.CAP_NET_RAW)
    expect(await status([...drop, none], capFields, namespaces)).toEqual({
      CapInh: hex(0),
      CapPrm: hex(0),
      CapEff: hex(0),
      CapBnd: bounding,
      CapAmb: hex(0),
    })
    const raw = ['CAP_NET_RAW']
    const one: Step = { do: 'capabilities', effective: raw, permitted: raw, inheritable: raw, ambient: raw }
    const set = hex(bits.CAP_NET_RAW)
    expect(await status([...drop, one], capFields, namespaces)).toEqual({
      CapInh: set,
      CapPrm: set,
      CapEff: set,
      CapBnd: bounding,
      CapAmb: set,
    })
  })

  it('ids and groups are exactly those of the plan', async () => {
    const { output } = await world.run({
      last: [{ do: 'user', uid: 1000, gid: 1001, groups: [10, 20] }],
      args: ['grep', '-E', '^(Uid|Gid|Groups)', '/proc/self/status'],
      ...(namespaces && { namespaces }),
    })
    expect(output.replaceAll(/[ \t]+/g, ' ')).toBe(
      'Uid: 1000 1000 1000 1000\nGid: 1001 1001 1001 1001\nGroups: 10 20 \n',
    )
  })
})

describe('a process', () => {
  it('has no supplementary groups of the caller', async () => {
    expect((await status([], 'Groups'))['Groups']?.trim() ?? '').toBe('')
  })

  it('gains no privileges where the plan says so', async () => {
    expect(await status([{ do: 'no-new-privileges' }], 'NoNewPrivs')).toEqual({ NoNewPrivs: '1' })
    expect(await status([], 'NoNewPrivs')).toEqual({ NoNewPrivs: '0' })
  })

  const profile: SeccompProfile = {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 17 }],
  }

  it('is filtered as root without no_new_privs, and as a user with capabilities still in hand', async () => {
    for (const before of [[], [{ do: 'user', uid: 1000, gid: 1000, groups: [] } as Step]]) {
      const { output } = await world.run({
        last: [
          ...before,
          { do: 'seccomp', profile },
          { do: 'capabilities', effective: [], permitted: [], inheritable: [], ambient: [] },
        ],
        args: ['sh', '-c', 'mkdir /tmp/x; grep -E "^Seccomp:" /proc/self/status'],
      })
      expect(output).toBe("mkdir: can't create directory '/tmp/x': File exists\nSeccomp:\t2\n")
    }
  })

  it('hands a notifying filter to the shim', async () => {
    const notify: SeccompProfile = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_NOTIFY' }],
    }
    const live = await world.create(world.plan({ last: [{ do: 'seccomp', profile: notify }] }))
    await live.process.door.open()
    await live.finish()
  })

  it('has the limits, umask, nice value and directory of the plan', async () => {
    const { output } = await world.run({
      beforeClone: [
        { do: 'rlimit', resource: 'RLIMIT_NOFILE', soft: '123', hard: '456' },
        { do: 'rlimit', resource: 'RLIMIT_CORE', soft: '0', hard: '18446744073709551615' },
      ],
      after: [
        { do: 'umask', mask: 0o27 },
        {
          do: 'scheduler',
          policy: 'SCHED_BATCH',
          nice: 5,
          priority: 0,
          flags: [],
          runtime: '0',
          deadline: '0',
          period: '0',
        },
        { do: 'cpu-affinity', cpus: [0] },
        { do: 'session-keyring', name: '_ses.test' },
      ],
      last: [{ do: 'chdir', path: '/made/here', create: true }],
      args: [
        'sh',
        '-c',
        'ulimit -n; ulimit -Hn; umask; pwd; cut -d" " -f19 /proc/self/stat; grep -E "^Cpus_allowed_list" /proc/self/status',
      ],
    })
    expect(output).toBe('123\n456\n0027\n/made/here\n5\nCpus_allowed_list:\t0\n')
  })

  it('makes what it makes with the modes of its steps, whatever the umask of the shim', async () => {
    const before = process.umask(0o077)
    try {
      const { output } = await world.run({
        mounts: [{ do: 'mkdir', path: '/deep/er', mode: 0o751 }],
        args: ['sh', '-c', 'umask; stat -c %a /deep /deep/er /dev/pts/..'],
      })
      expect(output).toBe('0022\n755\n751\n755\n')
    } finally {
      process.umask(before)
    }
  })

  it('has the personality and the I/O priority of the plan', async () => {
    const { output } = await world.run({
      after: [
        { do: 'io-priority', class: 'IOPRIO_CLASS_BE', priority: 6 },
        { do: 'personality', domain: 'LINUX32' },
      ],
      args: ['sh', '-c', 'busybox ionice -p $$; uname -m'],
    })
    expect(output).toMatch(/^best-effort: prio 6\ni686\n|armv8l\n$/)
  })

  it('is told by oom_score_adj what its plan says, its keeper is not', async () => {
    const live = await world.create(
      world.plan({
        staged: [{ do: 'oom-score-adj', value: 500 }],
        args: ['cat', '/proc/self/oom_score_adj'],
      }),
    )
    expect(readFileSync(`/proc/${live.process.keeper.pid}/oom_score_adj`, 'utf8')).toBe(
      readFileSync('/proc/self/oom_score_adj', 'utf8'),
    )
    await live.process.door.open()
    expect((await live.finish()).output).toBe('500\n')
  })

  it('cannot raise a limit that the machine does not let go, and is told why', async () => {
    const plan = world.plan({
      after: [{ do: 'rlimit', resource: 'RLIMIT_NOFILE', soft: '1048577', hard: '1048577' }],
    })
    await expect(world.create(plan)).rejects.toMatchObject({
      code: 'EPERM',
      syscall: 'prlimit64',
      path: 'RLIMIT_NOFILE',
      hint: expect.stringContaining('CAP_SYS_RESOURCE'),
    })
  })
})
