import { describe, expect, it } from 'vitest'
import { configJson, indexOf, ownUser, plan, refusal, stepsOf } from '../minimal.test-support.ts'

const proc = { destination: '/proc', type: 'proc', source: 'proc' }
const dev = { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'ro'] }

describe('the root', () => {
  it('is a clone of root.path, relative to the bundle', () => {
    expect(stepsOf(plan(configJson()).steps, 'stage-bind')[0]).toMatchObject({
      as: 'rootfs',
      source: '/bundle/rootfs',
      recursive: true,
    })
    expect(stepsOf(plan(configJson({ root: { path: '/r' } })).steps, 'stage-bind')[0]?.source).toBe('/r')
  })

  it("is an overlay when layers are given, idmapped by the container's user namespace", () => {
    const rootfs = { kind: 'overlay' as const, lower: ['/b', '/a'], upper: '/u', work: '/w', idmap: true }
    const [overlay] = stepsOf(plan(configJson({}, ownUser), { rootfs }).steps, 'stage-overlay')
    expect(overlay).toMatchObject({ lower: ['/b', '/a'], idmap: 'userns', method: 'fd' })
    expect(refusal(() => plan(configJson(), { rootfs })).code).toBe('HF_BAD_REQUEST')
  })

  it('turns read-only after everything is made in it', () => {
    const { steps } = plan(
      configJson({ root: { path: 'r', readonly: true }, mounts: [dev] }, {}, { cwd: '/work' }),
    )
    expect(steps[indexOf(steps, 'root-attributes') - 2]).toEqual({ do: 'mkdir', path: '/work', mode: 0o755 })
    expect(stepsOf(steps, 'root-attributes')).toEqual([{ do: 'root-attributes', set: { readonly: true } }])
    expect(indexOf(steps, 'root-attributes')).toBeGreaterThan(indexOf(steps, 'mknod'))
  })

  it('turns read-only before a user namespace owns it, with its mount points made', () => {
    const mounts = [
      proc,
      dev,
      { destination: '/dev/shm', type: 'tmpfs' },
      { destination: '/data', source: '/d', options: ['bind'] },
    ]
    const { steps } = plan(
      configJson({ root: { path: 'r', readonly: true }, mounts }, ownUser, { cwd: '/work' }),
    )
    expect(stepsOf(steps, 'stage-readonly')).toEqual([
      {
        do: 'stage-readonly',
        staged: 'rootfs',
        uid: 1_879_048_192,
        gid: 1_879_048_192,
        mountPoints: [
          { path: '/proc', kind: 'directory' },
          { path: '/dev', kind: 'directory' },
          { path: '/data', kind: 'source', source: 'mount:3' },
          { path: '/work', kind: 'directory' },
        ],
      },
    ])
    expect(stepsOf(steps, 'root-attributes')).toEqual([])
    expect(indexOf(steps, 'stage-readonly')).toBeLessThan(indexOf(steps, 'become-root'))
  })

  it('takes its propagation when it has become /', () => {
    const { steps } = plan(configJson({}, { rootfsPropagation: 'rshared' }))
    expect(stepsOf(steps, 'root-attributes')[0]?.propagation).toEqual({ value: 'shared', recursive: true })
    expect(stepsOf(steps, 'set-propagation')[0]?.propagation).toBe('slave') // never shared: our mounts would reach the host
  })
})

describe('mounts', () => {
  it('keep their order, binds among them', () => {
    const mounts = [
      proc,
      { destination: '/a', source: '/x', options: ['rbind', 'ro', 'rprivate'] },
      { destination: '/a/b', type: 'tmpfs' },
    ]
    const { steps } = plan(configJson({ mounts }))
    const targets = steps.flatMap((step) =>
      step.do === 'mount' || (step.do === 'attach' && step.staged.startsWith('mount')) ? [step.target] : [],
    )
    expect(targets).toEqual(['/proc', '/a', '/a/b'])
    expect(stepsOf(steps, 'stage-bind')[1]).toMatchObject({
      source: '/x',
      recursive: true,
      attributes: { set: { readonly: true } },
    })
    expect(stepsOf(steps, 'attach')[0]).toMatchObject({
      kind: 'source',
      propagation: { value: 'private', recursive: true },
    })
  })

  it('happen before the old root goes, because the kernel refuses proc afterwards', () => {
    const { steps } = plan(configJson({ mounts: [proc] }))
    expect(indexOf(steps, 'mount')).toBeLessThan(indexOf(steps, 'pivot'))
    expect(indexOf(steps, 'enter-root')).toBeLessThan(indexOf(steps, 'mount'))
  })

  it('take relative destinations from /, and never leave the root by ..', () => {
    const { steps } = plan(configJson({ mounts: [{ destination: 'a/../../../b//c/', type: 'tmpfs' }] }))
    expect(stepsOf(steps, 'mount')[0]?.target).toBe('/b/c')
    expect(refusal(() => plan(configJson({ mounts: [{ destination: '/..', type: 'tmpfs' }] }))).path).toBe(
      'mounts[0].destination',
    )
  })

  it('make a read-only tmpfs read-only last', () => {
    const { steps } = plan(configJson({ mounts: [dev] }))
    expect(stepsOf(steps, 'mount')[0]?.attributes).toEqual({ nosuid: true })
    expect(stepsOf(steps, 'remount')).toEqual([
      { do: 'remount', target: '/dev', attributes: { set: { readonly: true }, clear: [] } },
    ])
    expect(indexOf(steps, 'remount')).toBeGreaterThan(indexOf(steps, 'mknod'))
  })

  it('of tmpfs keep the permissions of what they cover, unless told otherwise', () => {
    const mounts = [
      { destination: '/a', type: 'tmpfs' },
      { destination: '/b', type: 'tmpfs', options: ['mode=700'] },
    ]
    const { steps } = plan(configJson({ mounts }))
    expect(stepsOf(steps, 'mount').map(({ keepMode }) => keepMode)).toEqual([true, undefined])
  })

  it('keep a shared bind a peer of the host by cloning it first', () => {
    const mounts = [{ destination: '/s', source: '/s', options: ['rbind', 'rshared'] }]
    const { steps } = plan(configJson({ mounts }))
    expect(indexOf(steps, 'stage-bind')).toBeLessThan(indexOf(steps, 'set-propagation'))
    expect(refusal(() => plan(configJson({ mounts }, ownUser)))).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path: 'mounts[0].options',
    })
  })

  it("name the user namespace that maps a bind: the container's, or one of the mount's own", () => {
    const maps = {
      uidMappings: [{ containerID: 0, hostID: 5, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: 5, size: 1 }],
    }
    const mounts = [
      { destination: '/a', source: '/a', options: ['rbind', 'ridmap'] },
      { destination: '/b', source: '/b', options: ['bind'], ...maps },
      { destination: '/c', source: '/c', options: ['bind', 'idmap'], ...maps },
    ]
    const { steps, preparations } = plan(configJson({ mounts }, ownUser))
    const [, a, b, c] = stepsOf(steps, 'stage-bind')
    expect(a).toMatchObject({ idmap: 'userns', recursiveIdmap: true })
    expect([b?.idmap, c?.idmap]).toEqual(['idmap:1', 'idmap:1'])
    expect(preparations.filter((each) => each.do === 'make-userns').map(({ as }) => as)).toEqual([
      'userns',
      'idmap:1',
    ])
  })

  it('refuse an id map without maps', () => {
    const mounts = [{ destination: '/a', source: '/a', options: ['bind', 'idmap'] }]
    expect(refusal(() => plan(configJson({ mounts }))).path).toBe('mounts[0].options')
  })

  it('say what they leave out', () => {
    const { warnings } = plan(
      configJson({ mounts: [{ destination: '/a', source: '/a', options: ['bind', 'lazytime'] }] }),
    )
    expect(warnings).toEqual(['mounts[0].options: lazytime has no effect on a bind mount'])
  })

  it('remount what lies at the destination', () => {
    const { steps } = plan(
      configJson({ mounts: [proc, { destination: '/proc', options: ['remount', 'ro'] }] }),
    )
    expect(stepsOf(steps, 'remount')[0]).toMatchObject({
      target: '/proc',
      attributes: { set: { readonly: true } },
    })
  })
})

describe('file systems that a container may not mount itself', () => {
  const withUser = (path: string, type: string) => ({
    ...ownUser,
    namespaces: [
      ...(ownUser.namespaces as { type: string }[]).filter((each) => each.type !== type),
      { type, path },
    ],
  })

  it('are its own to mount with namespaces of its own', () => {
    const mounts = [
      proc,
      { destination: '/sys', type: 'sysfs' },
      { destination: '/dev/mqueue', type: 'mqueue' },
    ]
    expect(stepsOf(plan(configJson({ mounts }, ownUser)).steps, 'stage-mount')).toEqual([])
  })

  it.each([
    ['sysfs', 'network'],
    ['mqueue', 'ipc'],
  ])('%s of a foreign %s namespace is staged by the host', (type, namespace) => {
    const { steps } = plan(
      configJson({ mounts: [{ destination: '/m', type, options: ['nosuid'] }] }, withUser('/ns', namespace)),
    )
    expect(stepsOf(steps, 'stage-mount')).toMatchObject([{ type, attributes: { nosuid: true } }])
    expect(indexOf(steps, 'join')).toBeLessThan(indexOf(steps, 'stage-mount')) // it shows what the joined one contains
    expect(indexOf(steps, 'stage-mount')).toBeLessThan(indexOf(steps, 'become-root'))
  })

  it("proc is the container's own to mount in a pid namespace that it joined: stage one would show the host's processes", () => {
    const joined = {
      namespaces: [{ type: 'mount' }, { type: 'user', path: '/u' }, { type: 'pid', path: '/p' }],
    }
    const { steps } = plan(configJson({ mounts: [proc] }, joined))
    expect(stepsOf(steps, 'stage-mount')).toEqual([])
    expect(indexOf(steps, 'clone')).toBeLessThan(indexOf(steps, 'mount'))
    expect(refusal(() => plan(configJson({ mounts: [proc] }, withUser('/p', 'pid'))))).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path: 'mounts[0].type',
    })
  })

  it('proc of the host is staged by the host', () => {
    const namespaces = (ownUser.namespaces as { type: string }[]).filter(({ type }) => type !== 'pid')
    expect(
      stepsOf(plan(configJson({ mounts: [proc] }, { ...ownUser, namespaces })).steps, 'stage-mount'),
    ).toMatchObject([{ type: 'proc' }])
  })

  it('are staged when they need a disk', () => {
    const { steps } = plan(
      configJson({ mounts: [{ destination: '/d', type: 'ext4', source: '/dev/sdb' }] }, ownUser),
    )
    expect(stepsOf(steps, 'stage-mount')[0]).toMatchObject({ type: 'ext4', source: '/dev/sdb' })
  })
})

describe('a mount namespace that is not new', () => {
  it.each([
    [[{ type: 'pid' }], 'host'],
    [[{ type: 'mount', path: '/ns/mnt' }], 'joined'],
  ])('is taken as it stands', (namespaces, origin) => {
    const { steps, namespaces: chosen } = plan(configJson({ root: { path: '/' } }, { namespaces }))
    expect(chosen.mnt).toBe(origin)
    for (const kind of ['unshare', 'stage-area', 'pivot', 'mknod'] as const)
      expect(stepsOf(steps, kind)).toEqual([])
  })

  it.each([
    [{ root: { path: '/r' } }, {}, 'root.path'],
    [{ root: { path: '/', readonly: true } }, {}, 'root.readonly'],
    [{ root: { path: '/' }, mounts: [proc] }, {}, 'mounts'],
    [{ root: { path: '/' } }, { maskedPaths: ['/proc/kcore'] }, 'linux.maskedPaths'],
  ])('refuses work that would stay in it: %j %j', (extra, linux, path) => {
    expect(refusal(() => plan(configJson(extra, { namespaces: [{ type: 'pid' }], ...linux })))).toMatchObject(
      { code: 'HF_UNSUPPORTED', path },
    )
  })
})

describe('a root in a mount namespace that is not new', () => {
  it.each([
    [[{ type: 'pid' }], '/proc/self/ns/mnt'],
    [[{ type: 'mount', path: '/ns/mnt' }, { type: 'pid' }], '/ns/mnt'],
  ])('is made aside and mounted there last, where the caller takes it away: %j', (namespaces, path) => {
    const json = configJson({ mounts: [proc] }, { namespaces, maskedPaths: ['/proc/kcore'] })
    const { steps, preparations, plantedAt, namespaces: chosen } = plan(json, { plants: true })
    expect([chosen.mnt === 'new', plantedAt]).toEqual([false, '/bundle/rootfs'])
    expect(preparations).toContainEqual(expect.objectContaining({ do: 'open-namespace', path, as: 'ns:mnt' }))
    expect(stepsOf(steps, 'plant-root')).toEqual([
      { do: 'plant-root', namespace: 'ns:mnt', at: '/bundle/rootfs' },
    ])
    expect(stepsOf(steps, 'pivot')).toEqual([])
    expect(stepsOf(steps, 'join')).toEqual([])
    expect(indexOf(steps, 'unshare')).toBeLessThan(indexOf(steps, 'mount'))
    expect(indexOf(steps, 'mount')).toBeLessThan(indexOf(steps, 'plant-root'))
    expect(indexOf(steps, 'plant-root')).toBeLessThan(indexOf(steps, 'mask'))
    expect(stepsOf(steps, 'clone')[0]?.namespaces).toEqual(['pid'])
  })

  it('is the bundle itself, where the configuration says so, and never the host', () => {
    const at = (path: string, bundle: string) =>
      plan(configJson({ root: { path } }, { namespaces: [] }), { plants: true, bundle }).plantedAt
    expect([at('.', '/b'), at('x/..', '/b'), at('/', '/b')]).toEqual(['/b', '/b', undefined])
  })

  it('needs rights over it that a user namespace does not have', () => {
    const namespaces = (ownUser.namespaces as { type: string }[]).filter(({ type }) => type !== 'mount')
    const json = configJson({}, { ...ownUser, namespaces })
    expect(refusal(() => plan(json, { plants: true }))).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path: 'root.path',
    })
  })
})

describe('hooks before the pivot', () => {
  const entered = (hooks: object, options = {}) =>
    stepsOf(plan(configJson({ hooks }), options).steps, 'enter-root')[0]

  it("find the root mounted at the root's own path", () => {
    for (const kind of ['prestart', 'createRuntime', 'createContainer'])
      expect(entered({ [kind]: [{ path: '/h' }] })).toMatchObject({ at: '/bundle/rootfs' })
  })

  it('are not thought of where there are none, nor where the root is an overlay without a path', () => {
    const rootfs = { kind: 'overlay' as const, lower: ['/l'], upper: '/u', work: '/w', idmap: false }
    expect(entered({ startContainer: [{ path: '/h' }], poststop: [{ path: '/h' }] })).not.toHaveProperty('at')
    expect(entered({ createRuntime: [{ path: '/h' }] }, { rootfs })).not.toHaveProperty('at')
  })
})
