import { describe, expect, it } from 'vitest'
import { configJson, indexOf, ownUser, plan, refusal, stepsOf } from './minimal.test-support.ts'

const listed = (...types: (string | [type: string, path: string])[]) => ({
  namespaces: types.map((each) =>
    typeof each === 'string' ? { type: each } : { type: each[0], path: each[1] },
  ),
})

describe('namespaces', () => {
  it("are new, joined, or the host's", () => {
    const { namespaces } = plan(configJson({}, listed('mount', 'uts', ['network', '/run/netns/a'])))
    expect(namespaces).toEqual({
      mnt: 'new',
      uts: 'new',
      net: 'joined',
      pid: 'host',
      ipc: 'host',
      user: 'host',
      cgroup: 'host',
      time: 'host',
    })
  })

  it("are opened before anything runs, and joined with the host's rights", () => {
    const { preparations, steps } = plan(
      configJson({}, { ...ownUser, ...listed('mount', 'user', ['network', '/n'], ['pid', '/p']) }),
    )
    expect(preparations).toContainEqual({
      do: 'open-namespace',
      namespace: 'net',
      path: '/n',
      as: 'ns:net',
      field: 'linux.namespaces[2].path',
    })
    expect(stepsOf(steps, 'join').map(({ namespace }) => namespace)).toEqual(['net', 'pid', 'user'])
    expect(stepsOf(steps, 'clone')[0]?.namespaces).toEqual(['mnt'])
  })

  it('joins a user namespace of another, last, and becomes its root', () => {
    const { preparations, steps } = plan(configJson({}, listed('mount', ['user', '/u'])))
    expect(preparations[0]).toMatchObject({
      do: 'open-namespace',
      namespace: 'user',
      path: '/u',
      as: 'userns',
    })
    const join = indexOf(steps, 'join')
    expect(steps.slice(join, join + 3).map((step) => step.do)).toEqual(['join', 'become-root', 'clone'])
  })

  it('makes the user namespace with its maps', () => {
    const { preparations } = plan(configJson({}, ownUser))
    expect(preparations[0]).toEqual({
      do: 'make-userns',
      as: 'userns',
      uid: ownUser.uidMappings,
      gid: ownUser.gidMappings,
    })
  })

  it("unshares the cgroup namespace once the cgroups are joined, or the host's tree would show", () => {
    const { steps } = plan(configJson({}, listed('mount', 'cgroup')))
    const join = indexOf(steps, 'join-cgroups')
    expect(steps[join + 1]).toEqual({ do: 'unshare', namespaces: ['cgroup'] })
    expect(join).toBeGreaterThan(indexOf(steps, 'clone'))
  })

  it('writes time offsets between unshare and clone', () => {
    const linux = {
      ...listed('mount', 'time'),
      timeOffsets: { boottime: { secs: -3, nanosecs: 5 }, monotonic: { secs: 7 } },
    }
    const { steps } = plan(configJson({}, linux))
    const at = indexOf(steps, 'time-offsets')
    expect(steps[at - 1]).toEqual({ do: 'unshare', namespaces: ['time'] })
    expect(steps[at]).toEqual({
      do: 'time-offsets',
      monotonic: { secs: 7, nanosecs: 0 },
      boottime: { secs: -3, nanosecs: 5 },
    })
    expect(steps[at + 1]?.do).toBe('clone')
  })

  it('brings lo up in a network namespace of its own only', () => {
    expect(stepsOf(plan(configJson({}, listed('mount', 'network'))).steps, 'loopback-up')).toHaveLength(1)
    expect(
      stepsOf(plan(configJson({}, listed('mount', ['network', '/n']))).steps, 'loopback-up'),
    ).toHaveLength(0)
  })

  it('names the host in a uts namespace', () => {
    const { steps } = plan(configJson({ hostname: 'h', domainname: 'd' }, listed('mount', 'uts')))
    expect(stepsOf(steps, 'hostname')[0]?.name).toBe('h')
    expect(stepsOf(steps, 'domainname')[0]?.name).toBe('d')
  })

  it.each([
    ['a hostname for the host', { hostname: 'h' }, listed('mount'), 'hostname'],
    ['a domain name for the host', { domainname: 'h' }, listed('mount'), 'domainname'],
    [
      "offsets for the host's clocks",
      {},
      { ...listed('mount'), timeOffsets: { boottime: { secs: 1 } } },
      'linux.timeOffsets',
    ],
    [
      "offsets for another's clocks",
      {},
      { ...listed('mount', ['time', '/t']), timeOffsets: { boottime: { secs: 1 } } },
      'linux.timeOffsets',
    ],
    [
      'centuries',
      {},
      { ...listed('mount', 'time'), timeOffsets: { boottime: { secs: 5e9 } } },
      'linux.timeOffsets.boottime.secs',
    ],
    ['a user namespace without a map', {}, listed('mount', 'user'), 'linux.uidMappings'],
    [
      'a map for no user namespace',
      {},
      { ...listed('mount'), uidMappings: ownUser.uidMappings },
      'linux.uidMappings',
    ],
  ])('refuses %s', (_, extra, linux, path) => {
    expect(refusal(() => plan(configJson(extra, linux)))).toMatchObject({ code: 'HF_INVALID_CONFIG', path })
  })

  it("refuses users and groups that the map doesn't have", () => {
    const asUser = (user: object) => refusal(() => plan(configJson({}, ownUser, { user }))).path
    expect(asUser({ uid: 65_536 })).toBe('process.user.uid')
    expect(asUser({ uid: 1, gid: 70_000 })).toBe('process.user.gid')
    expect(asUser({ uid: 1, additionalGids: [5, 70_000] })).toBe('process.user.additionalGids[1]')
  })
})

describe('sysctls', () => {
  const all = listed('mount', 'network', 'ipc', 'uts')
  const sysctl =
    (values: Record<string, string>, linux: object = all) =>
    () =>
      plan(configJson({}, { ...linux, sysctl: values }))

  it.each(['net.core.somaxconn', 'net/ipv4/conf/eth0.100/forwarding', 'kernel.shmmax', 'fs.mqueue.msg_max'])(
    'sets %s',
    (key) => {
      const { steps } = sysctl({ [key]: '1' })()
      expect(stepsOf(steps, 'sysctl')).toEqual([{ do: 'sysctl', key, value: '1' }])
      expect(indexOf(steps, 'sysctl')).toBeLessThan(indexOf(steps, 'pivot'))
    },
  )

  it.each(['vm.swappiness', 'kernel.core_pattern', 'kernel.sysrq', 'kernel.hostname', 'fs.file-max'])(
    "refuses %s, which is the host's",
    (key) => {
      expect(refusal(sysctl({ [key]: '1' }))).toMatchObject({
        code: 'HF_UNSUPPORTED',
        path: `linux.sysctl.${key}`,
      })
    },
  )

  it.each([
    ['net.core.somaxconn', listed('mount', 'ipc')],
    ['kernel.domainname', listed('mount', 'ipc')],
    ['kernel.shmmax', listed('mount', 'network')],
  ])('refuses %s without a namespace of its own: %j', (key, linux) => {
    expect(refusal(sysctl({ [key]: '1' }, linux))).toMatchObject({
      code: 'HF_INVALID_CONFIG',
      path: `linux.sysctl.${key}`,
    })
  })

  it.each([
    'net..core',
    'net',
    'net.core/../../vm',
    'net.a b',
    '/net.core',
    'net.core.x+kernel.core_pattern',
  ])('refuses the key "%s"', (key) => {
    expect(refusal(sysctl({ [key]: '1' })).path).toBe(`linux.sysctl.${key}`)
  })

  it("sets them in a namespace that is joined, unless that is the host's", () => {
    const linux = listed('mount', ['network', '/n'], ['ipc', '/i'])
    const { preparations } = sysctl({ 'net.core.somaxconn': '1' }, linux)()
    expect(preparations).toMatchObject([
      { do: 'open-namespace', namespace: 'net', notOurs: true },
      { do: 'open-namespace', namespace: 'ipc' },
      { do: 'make-cgroup' },
    ])
    expect(preparations[1]).not.toHaveProperty('notOurs')
  })

  it('sets the domain name by one of its two names alone', () => {
    const json = configJson({ domainname: 'a' }, { ...all, sysctl: { 'kernel.domainname': 'b' } })
    expect(refusal(() => plan(json)).path).toBe('linux.sysctl.kernel.domainname')
    const { steps } = sysctl({ 'kernel.domainname': 'b' })()
    expect(stepsOf(steps, 'sysctl')).toHaveLength(1)
  })

  it('refuses a value of two lines', () => {
    expect(refusal(sysctl({ 'kernel.shmmax': '1\n2' })).code).toBe('HF_INVALID_CONFIG')
  })
})
