import { describe, expect, it } from 'vitest'
import { configJson, hostV1, hostV2, indexOf, ownUser, plan, stepsOf } from './minimal.test-support.ts'

const rootless = { ...hostV2, rootless: true }

describe('without rights over the host', () => {
  const { steps, preparations } = plan(
    configJson(
      {},
      { ...ownUser, devices: [{ path: '/dev/fuse', type: 'c', major: 10, minor: 229 }] },
      { oomScoreAdj: 5 },
    ),
    { host: rootless },
  )

  it('everything is made inside the container’s user namespace, but the score', () => {
    expect(steps.slice(0, 4).map((step) => step.do)).toEqual([
      'oom-score-adj',
      'join',
      'become-root',
      'unshare',
    ])
    expect(stepsOf(steps, 'become-root')).toEqual([{ do: 'become-root', rootless: true }])
    expect(stepsOf(steps, 'user')).toMatchObject([{ rootless: true }])
    expect(indexOf(steps, 'stage-area')).toBeLessThan(indexOf(steps, 'clone'))
  })

  it('devices are the host’s, and no rules are about them', () => {
    expect(stepsOf(steps, 'mknod')).toEqual([])
    expect(stepsOf(steps, 'stage-bind')).toContainEqual(
      expect.objectContaining({ source: '/dev/fuse', expect: { type: 'c', major: 10, minor: 229 } }),
    )
    expect(preparations).toContainEqual(expect.objectContaining({ do: 'make-cgroup', devices: [] }))
    expect(preparations).toContainEqual(expect.objectContaining({ do: 'make-userns', rootless: true }))
  })

  it('the cgroup may be its maker’s, and that part of the tree is what it sees', () => {
    const mounts = [{ destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup' }]
    const within = { '/sys/fs/cgroup/memory': '/session', '/sys/fs/cgroup': '/session' }
    const json = configJson(
      { mounts },
      { ...ownUser, namespaces: ['mount', 'pid', 'user'].map((type) => ({ type })) },
    )
    for (const [host, source] of [
      [hostV1, '/sys/fs/cgroup/memory/session'],
      [hostV2, '/sys/fs/cgroup/session'],
    ] as const) {
      const made = plan(json, { host: { ...host, rootless: true }, cgroups: { within } })
      expect(made.preparations.map((each) => each.do)).toEqual(['make-userns'])
      expect(stepsOf(made.steps, 'join-cgroups')).toEqual([{ do: 'join-cgroups', procs: [] }])
      expect(stepsOf(made.steps, 'stage-bind')).toContainEqual(expect.objectContaining({ source }))
    }
  })
})
