import { describe, expect, it } from 'vitest'
import { configJson, hostV2, indexOf, ownUser, plan, refusal, stepsOf } from './minimal.test-support.ts'
import { cgroupProcs, planExec } from './plan-exec.ts'
import { readProcess } from './config/process.ts'
import type { Step } from './step.ts'

const kinds = (steps: Step[]) => steps.map((step) => step.do)
const filter = { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW' }] }

describe('devices', () => {
  it("are made with the specification's defaults, and links once proc is there", () => {
    const { steps } = plan(configJson())
    expect(stepsOf(steps, 'mknod').map(({ path }) => path)).toEqual([
      '/dev/null',
      '/dev/zero',
      '/dev/full',
      '/dev/random',
      '/dev/urandom',
      '/dev/tty',
    ])
    expect(stepsOf(steps, 'symlink').map(({ path, target }) => `${path} ${target}`)).toEqual([
      '/dev/fd /proc/self/fd',
      '/dev/stdin /proc/self/fd/0',
      '/dev/stdout /proc/self/fd/1',
      '/dev/stderr /proc/self/fd/2',
      '/dev/core /proc/kcore',
      '/dev/ptmx pts/ptmx',
    ])
  })

  it("are staged by the host for a user namespace, with the container's owners", () => {
    const devices = [
      { type: 'b', path: '/dev/sda', major: 8, minor: 0, fileMode: 0o100640, uid: 1, gid: 6 },
      { type: 'p', path: '/dev/pipe' },
    ]
    const { steps } = plan(configJson({}, { ...ownUser, devices }))
    expect(stepsOf(steps, 'stage-device')).toContainEqual({
      do: 'stage-device',
      as: 'device:6',
      device: { type: 'b', major: 8, minor: 0 },
      mode: 0o640,
      uid: 1_879_048_193,
      gid: 1_879_048_198,
    })
    expect(stepsOf(steps, 'attach')).toContainEqual({
      do: 'attach',
      staged: 'device:6',
      target: '/dev/sda',
      kind: 'file',
    })
    expect(stepsOf(steps, 'mknod')).toMatchObject([{ path: '/dev/pipe', device: { type: 'p' } }])
  })

  it("of the configuration replace defaults of the same name; ptmx stays the container's own", () => {
    const devices = [
      { type: 'u', path: '/dev//null', major: 1, minor: 3, fileMode: 0o600 },
      { type: 'c', path: '/dev/ptmx', major: 5, minor: 2 },
    ]
    const made = stepsOf(plan(configJson({}, { devices })).steps, 'mknod')
    expect(made).toHaveLength(6)
    expect(made[0]).toMatchObject({
      path: '/dev/null',
      device: { type: 'c', major: 1, minor: 3 },
      mode: 0o600,
    })
  })

  it('are not added to a /dev that is a bind', () => {
    const mounts = [{ destination: '/dev', source: '/dev', options: ['rbind'] }]
    const { steps } = plan(configJson({ mounts }))
    expect([...stepsOf(steps, 'mknod'), ...stepsOf(steps, 'symlink')]).toEqual([])
  })
})

describe('privileges', () => {
  const order = (process: Record<string, unknown>) => {
    const { steps } = plan(configJson({}, { seccomp: filter }, process))
    const wanted = ['seccomp', 'bounding-set', 'user', 'capabilities', 'no-new-privileges', 'door', 'exec']
    return kinds(steps).filter((kind) => wanted.includes(kind))
  }

  it('load the filter before capabilities go, without no_new_privs', () => {
    expect(order({})).toEqual(['seccomp', 'bounding-set', 'user', 'capabilities', 'door', 'exec'])
  })

  it('load the filter last with no_new_privs', () => {
    expect(order({ noNewPrivileges: true })).toEqual([
      'bounding-set',
      'user',
      'capabilities',
      'no-new-privileges',
      'seccomp',
      'door',
      'exec',
    ])
  })

  it('need no filter that allows everything', () => {
    expect(
      stepsOf(plan(configJson({}, { seccomp: { defaultAction: 'SCMP_ACT_ALLOW' } })).steps, 'seccomp'),
    ).toEqual([])
  })

  it('drop everything when no capability is listed', () => {
    const { steps } = plan(configJson())
    expect(stepsOf(steps, 'bounding-set')[0]?.keep).toEqual([])
    expect(stepsOf(steps, 'capabilities')[0]).toEqual({
      do: 'capabilities',
      effective: [],
      permitted: [],
      inheritable: [],
      ambient: [],
    })
  })

  it("leave out, with a note, what can't be granted", () => {
    const capabilities = {
      bounding: ['CAP_KILL', 'CAP_BPF', 'CAP_FLY'],
      permitted: ['CAP_KILL'],
      effective: ['CAP_KILL', 'CAP_CHOWN'],
      inheritable: [],
      ambient: ['CAP_KILL'],
    }
    const { steps, warnings } = plan(configJson({}, {}, { capabilities }))
    expect(stepsOf(steps, 'bounding-set')[0]?.keep).toEqual(['CAP_KILL'])
    expect(stepsOf(steps, 'capabilities')[0]).toMatchObject({ effective: ['CAP_KILL'], ambient: [] })
    expect(warnings?.join('\n')).toMatch(
      /CAP_BPF .*cannot grant[\s\S]*CAP_FLY .*none of this name[\s\S]*CAP_CHOWN .*permitted/,
    )
  })

  it("hide paths when the root is the container's, masks over read-only paths", () => {
    const { steps } = plan(configJson({}, { maskedPaths: ['/proc/kcore'], readonlyPaths: ['/proc/sys/'] }))
    expect(stepsOf(steps, 'readonly-path')[0]?.path).toBe('/proc/sys')
    expect(indexOf(steps, 'pivot')).toBeLessThan(indexOf(steps, 'readonly-path'))
    expect(indexOf(steps, 'readonly-path')).toBeLessThan(indexOf(steps, 'mask'))
  })

  it('turn the root itself read-only, which a mount upon it would not', () => {
    const { steps } = plan(configJson({}, { readonlyPaths: ['/.'] }))
    expect(stepsOf(steps, 'readonly-path')).toEqual([])
    expect(stepsOf(steps, 'root-attributes')).toEqual([{ do: 'root-attributes', set: { readonly: true } }])
  })
})

describe('the program', () => {
  it('runs with arguments, environment, directory, mask and user as asked', () => {
    const { steps } = plan(
      configJson(
        {},
        {},
        {
          args: ['sh', '-c', 'true'],
          env: ['A=1'],
          cwd: '/work',
          user: { uid: 5, gid: 6, umask: 0o27, additionalGids: [7, 7, 8] },
        },
      ),
      { init: true },
    )
    expect(steps.at(-1)).toEqual({ do: 'exec', args: ['sh', '-c', 'true'], env: ['A=1'], init: true })
    expect(stepsOf(steps, 'chdir')[0]).toEqual({ do: 'chdir', path: '/work', create: true })
    expect(stepsOf(steps, 'umask')[0]?.mask).toBe(0o27)
    expect(stepsOf(steps, 'user')[0]).toEqual({ do: 'user', uid: 5, gid: 6, groups: [7, 8] })
  })

  it('may be missing: create works, and start will not', () => {
    const { steps, startable } = plan(configJson({ process: undefined }))
    expect(startable).toBe(false)
    expect(steps.at(-1)).toEqual({ do: 'door' })
  })

  it('has pipes, or a terminal with its console before the root turns read-only', () => {
    expect(stepsOf(plan(configJson()).steps, 'stdio')).toHaveLength(1)
    const { steps, terminal } = plan(
      configJson(
        { root: { path: 'r', readonly: true } },
        {},
        { terminal: true, consoleSize: { height: 24, width: 80 }, user: { uid: 5, gid: 6 } },
      ),
    )
    expect(terminal).toBe(true)
    expect(stepsOf(steps, 'console')).toEqual([{ do: 'console', rows: 24, columns: 80, bind: true, uid: 5 }])
    expect(indexOf(steps, 'console')).toBeLessThan(indexOf(steps, 'root-attributes'))
    expect(stepsOf(steps, 'stdio')).toEqual([])
  })

  const limited = {
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: 10, hard: 20 }],
    oomScoreAdj: 5,
    ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 3 },
  }

  it('has its limits set by the init, late', () => {
    const { steps } = plan(configJson({}, {}, limited))
    expect(stepsOf(steps, 'rlimit')).toEqual([
      { do: 'rlimit', resource: 'RLIMIT_NOFILE', soft: '10', hard: '20' },
    ])
    expect(indexOf(steps, 'clone')).toBeLessThan(indexOf(steps, 'oom-score-adj'))
  })

  it("has what needs the host's rights done before a user namespace takes them", () => {
    const { steps } = plan(configJson({}, ownUser, limited))
    expect(stepsOf(steps, 'rlimit').map(({ raise }) => raise)).toEqual([true, undefined])
    for (const kind of ['rlimit', 'oom-score-adj', 'io-priority'] as const)
      expect(indexOf(steps, kind)).toBeLessThan(indexOf(steps, 'become-root'))
  })

  it('keeps RLIM_INFINITY whole', () => {
    const { steps } = plan(configJson({}, {}, { rlimits: [{ type: 'RLIMIT_CORE', soft: 0, hard: 2 ** 64 }] }))
    expect(stepsOf(steps, 'rlimit')[0]?.hard).toBe('18446744073709551615')
  })

  it('is scheduled as asked', () => {
    const { steps } = plan(
      configJson(
        {},
        {},
        { scheduler: { policy: 'SCHED_FIFO', priority: 10, flags: ['SCHED_FLAG_RESET_ON_FORK'] } },
      ),
    )
    expect(stepsOf(steps, 'scheduler')[0]).toEqual({
      do: 'scheduler',
      policy: 'SCHED_FIFO',
      nice: 0,
      priority: 10,
      flags: ['SCHED_FLAG_RESET_ON_FORK'],
      runtime: '0',
      deadline: '0',
      period: '0',
    })
  })

  it.each([
    [{ scheduler: { policy: 'SCHED_OTHER', priority: 1 } }, 'process.scheduler.priority'],
    [{ scheduler: { policy: 'SCHED_RR' } }, 'process.scheduler.priority'],
    [{ scheduler: { policy: 'SCHED_BATCH', runtime: 5 } }, 'process.scheduler.runtime'],
  ])('refuses %j', (process, path) => {
    expect(refusal(() => plan(configJson({}, {}, process))).path).toBe(path)
  })

  it('says that the CPU affinity of exec is not its own', () => {
    const { steps, warnings } = plan(configJson({}, {}, { execCPUAffinity: { initial: '0' } }))
    expect(stepsOf(steps, 'cpu-affinity')).toEqual([])
    expect(warnings).toEqual([expect.stringContaining('execCPUAffinity')])
  })

  it('refuses a deadline task in a user namespace, which could not fork', () => {
    const scheduler = { policy: 'SCHED_DEADLINE', runtime: 1, deadline: 2, period: 3 }
    expect(refusal(() => plan(configJson({}, ownUser, { scheduler }))).code).toBe('HF_UNSUPPORTED')
  })

  it('takes memory from the nodes asked for, once in its cpuset', () => {
    const { steps } = plan(
      configJson(
        {},
        {
          memoryPolicy: { mode: 'MPOL_BIND', nodes: '0-1,3', flags: ['MPOL_F_STATIC_NODES'] },
          personality: { domain: 'LINUX32' },
        },
      ),
    )
    expect(stepsOf(steps, 'memory-policy')[0]).toMatchObject({ nodes: [0, 1, 3] })
    expect(stepsOf(steps, 'personality')[0]?.domain).toBe('LINUX32')
    expect(
      refusal(() => plan(configJson({}, { memoryPolicy: { mode: 'MPOL_BIND', nodes: '3-1' } }))).path,
    ).toBe('linux.memoryPolicy.nodes')
  })
})

describe('hooks', () => {
  const hook = (path: string) => [{ path, args: [path, 'x'], env: ['A=1'], timeout: 5 }]
  const hooks = Object.fromEntries(
    ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'].map(
      (kind) => [kind, hook(`/bin/${kind}`)],
    ),
  )

  it('run where the specification says: on the host with the namespaces made, in the container before the pivot, after the door', () => {
    const made = plan(configJson({ hooks, annotations: { k: 'v' } }))
    expect(made.hooks.createRuntime.map(({ path }) => path)).toEqual(['/bin/prestart', '/bin/createRuntime'])
    expect(made.hooks.poststop).toEqual([
      { path: '/bin/poststop', args: ['/bin/poststop', 'x'], env: ['A=1'], timeoutMs: 5000 },
    ])
    const [create, start] = stepsOf(made.steps, 'hook')
    const sync = indexOf(made.steps, 'sync')
    expect(made.steps[sync + 1]).toMatchObject(create!)
    expect(sync + 1).toBeLessThan(indexOf(made.steps, 'pivot'))
    expect(made.steps[indexOf(made.steps, 'door') + 1]).toMatchObject(start!)
    expect(JSON.parse(create!.state)).toEqual({
      ociVersion: '1.2.0',
      id: 'c1',
      status: 'creating',
      pid: 1,
      bundle: '/bundle',
      annotations: { k: 'v' },
    })
  })

  it("leave the pid open where the pid namespace is not the container's own", () => {
    const { steps } = plan(configJson({ hooks }, { namespaces: [{ type: 'mount' }] }))
    expect(stepsOf(steps, 'hook')[0]?.state).toContain('"pid":%PID%,')
  })

  it('ask for no stop where there are none', () => {
    expect(stepsOf(plan(configJson()).steps, 'sync')).toEqual([])
  })
})

const namespaces = plan(configJson({}, ownUser)).namespaces
const exec = (process: object, options: object = {}) =>
  planExec(readProcess({ cwd: '/', args: ['id'], ...process }), {
    namespaces,
    pidfd: 'init',
    cgroupProcs: ['cgroup:procs'],
    host: hostV2,
    ...options,
  })

describe('exec', () => {
  it('joins everything at once, forks, then joins the cgroup', () => {
    const { steps } = exec({})
    expect(kinds(steps).slice(0, 4)).toEqual(['join-process', 'become-root', 'clone', 'join-cgroups'])
    expect(stepsOf(steps, 'join-process')[0]?.namespaces.toSorted()).toEqual([
      'cgroup',
      'ipc',
      'mnt',
      'net',
      'pid',
      'user',
      'uts',
    ])
    expect(steps.at(-1)).toMatchObject({ do: 'exec', init: false })
  })

  it("is born into the cgroup by the host's root, and sees it from the container's namespace from then on", () => {
    const { steps } = exec({}, { birth: { cgroup: 'cgroup', namespace: 'cgroupns' } })
    expect(kinds(steps).slice(0, 5)).toEqual(['join-process', 'clone', 'join', 'become-root', 'join-cgroups'])
    expect(stepsOf(steps, 'join-process')[0]?.namespaces).not.toContain('cgroup')
    expect(stepsOf(steps, 'clone')[0]?.cgroup).toBe('cgroup')
    expect(stepsOf(steps, 'join')).toEqual([{ do: 'join', namespace: 'cgroup', fd: 'cgroupns' }])
  })

  it("joins nothing that is the host's, and becomes nobody without a user namespace", () => {
    const host = plan(configJson()).namespaces
    const { steps } = exec({}, { namespaces: host })
    expect(stepsOf(steps, 'join-process')[0]?.namespaces).toEqual(['mnt', 'pid'])
    expect(stepsOf(steps, 'become-root')).toEqual([])
  })

  it('moves to its CPUs before and after joining the cgroup', () => {
    const { steps } = exec({ execCPUAffinity: { initial: '0', final: '0-1' } })
    expect(steps[0]).toMatchObject({ do: 'cpu-affinity', cpus: [0] })
    expect(steps[indexOf(steps, 'join-cgroups') + 1]).toMatchObject({ do: 'cpu-affinity', cpus: [0, 1] })
  })

  it('filters as the container does, and makes no directory', () => {
    const { steps, terminal } = exec({ terminal: true, noNewPrivileges: true }, { seccomp: filter })
    expect(terminal).toBe(true)
    expect(stepsOf(steps, 'console')[0]?.bind).toBe(false)
    expect(stepsOf(steps, 'chdir')[0]?.create).toBe(false)
    expect(indexOf(steps, 'no-new-privileges')).toBeLessThan(indexOf(steps, 'seccomp'))
  })

  it("knows the descriptors of the container's cgroup", () => {
    expect(cgroupProcs(plan(configJson()))).toEqual(['cgroup:procs'])
  })
})

describe('the session keyring', () => {
  const keyrings = (options: object) => stepsOf(plan(configJson(), options).steps, 'session-keyring')

  it("is the container's own, unless the caller keeps its", () => {
    expect(keyrings({})).toEqual([{ do: 'session-keyring', name: '_ses.c1', findable: true }])
    expect(keyrings({ newKeyring: false })).toEqual([])
  })

  it('of the container is joined by an exec, while it is root', () => {
    const { steps } = exec({}, { keyring: '_ses.c1' })
    expect(indexOf(steps, 'session-keyring')).toBeLessThan(indexOf(steps, 'user'))
    expect(stepsOf(exec({}).steps, 'session-keyring')).toEqual([])
  })
})
