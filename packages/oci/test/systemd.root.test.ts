/** `--systemd-cgroup`: containers as scopes, under a real systemd, on both kinds of cgroups. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { executable, OciWorld, type Json } from './world.ts'
import { hasCgroups, hasSystemd, SystemdWorld } from './systemd-world.ts'

const root = process.getuid?.() === 0

describe.skipIf(!root)('without systemd', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it.skipIf(existsSync('/run/systemd/system'))('no container is made, and what is no making works', () => {
    const id = world.id()
    const bundle = world.bundle(['true'], (c) => (c.linux.cgroupsPath = `a.slice:b:${id}`))
    expect(world.call(['--systemd-cgroup', 'create', '--bundle', bundle, id])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('needs systemd to run this host'),
    })
    expect(world.leftovers(id)).toEqual([])
    world.must(['--systemd-cgroup', 'list'])
  })
})

describe.each([1, 2] as const)('under systemd on cgroup v%i', (version) => {
  describe.skipIf(!root || !hasSystemd || !hasCgroups(version))('(needs it)', () => {
    const world = new OciWorld()
    let systemd: SystemdWorld
    beforeAll(async () => {
      systemd = new SystemdWorld(version, world.base)
      await systemd.booted()
    }, 30_000)
    afterAll(async () => {
      await systemd[Symbol.asyncDispose]()
      world[Symbol.dispose]()
    })

    const call = (...args: string[]) =>
      systemd.enter([executable, '--root', world.root, '--systemd-cgroup', ...args])
    const must = async (...args: string[]) => {
      const outcome = await call(...args)
      expect(outcome).toMatchObject({ status: 0 })
      return outcome.stdout
    }
    /** A bundle whose scope is `test-ID.scope`. What the slice is called no other test knows. */
    const bundle = (id: string, change: (config: Json) => void = () => {}) =>
      world.bundle(['sleep', '100'], (config) => {
        config.linux.cgroupsPath = `made-for.slice:test:${id}`
        change(config)
      })
    /** Standard streams that nobody waits for the end of. */
    const create = (id: string, change?: (config: Json) => void) =>
      systemd.enter([
        'sh',
        '-c',
        `exec ${executable} --root ${world.root} --systemd-cgroup create --bundle ${bundle(id, change)} ${id} </dev/null >/dev/null 2>${world.base}/errors`,
      ])
    const errors = () => readFileSync(join(world.base, 'errors'), 'utf8')

    it('a container is a scope in its slice, delegated, and goes with it', { timeout: 60_000 }, async () => {
      const id = world.id()
      expect((await create(id)).status, errors()).toBe(0)
      expect(
        await systemd.show(`test-${id}.scope`, ['ActiveState', 'Slice', 'Delegate', 'ControlGroup']),
      ).toEqual({
        ActiveState: 'active',
        Slice: 'made-for.slice',
        Delegate: 'yes',
        ControlGroup: `/made.slice/made-for.slice/test-${id}.scope`,
      })
      await must('start', id)
      const state = JSON.parse(await must('state', id)) as Json
      const { stdout } = await systemd.enter(['cat', `/proc/${state.pid}/cgroup`])
      // On v2 the kernel's v1 hierarchies are still there, and not in use.
      for (const line of stdout
        .trim()
        .split('\n')
        .filter((each) => version === 1 || each.startsWith('0::')))
        expect(line).toMatch(new RegExp(`:/made.slice/made-for.slice/test-${id}.scope$`))
      expect(await must('exec', id, 'echo', 'inside')).toBe('inside\n')
      await must('pause', id)
      expect(JSON.parse(await must('state', id))).toMatchObject({ status: 'paused' })
      await must('resume', id)
      await must('kill', id, 'KILL')
      await eventually(async () => (JSON.parse(await must('state', id)) as Json).status === 'stopped')
      await must('delete', id)
      expect(await systemd.traces(id)).toEqual([])
    })

    it('annotations set properties, and those that are none are refused', { timeout: 60_000 }, async () => {
      const id = world.id()
      const annotate = (name: string, value: string) =>
        create(id, (c) => (c.annotations = { [`org.systemd.property.${name}`]: value }))
      expect((await annotate('TimeoutStopSec', '7')).status, errors()).toBe(0)
      expect(await systemd.show(`test-${id}.scope`, ['TimeoutStopUSec'])).toEqual({ TimeoutStopUSec: '7s' })
      await must('delete', '--force', id)
      expect((await annotate('TimeoutStopSec', 'nonsense')).status).toBe(1)
      expect(errors()).toContain('annotations.org.systemd.property.TimeoutStopSec')
      expect((await annotate('Nonsense', 'true')).status).toBe(1)
      expect(errors()).toContain('unable to start unit')
      expect(await systemd.traces(id)).toEqual([])
    })

    it('another container in its cgroup is none of its unit', { timeout: 60_000 }, async () => {
      const [id, other] = [world.id(), world.id()]
      expect((await create(id)).status, errors()).toBe(0)
      const shared = create(other, (c) => (c.linux.cgroupsPath = `made-for.slice:test:${id}`))
      expect((await shared).status, errors()).toBe(0)
      expect(errors()).toContain("container's cgroup is not empty")
      await must('delete', other)
      expect(await systemd.show(`test-${id}.scope`, ['ActiveState'])).toEqual({ ActiveState: 'active' })
      expect(JSON.parse(await must('state', id))).toMatchObject({ status: 'created' })
      await must('delete', id)
      expect(await systemd.traces('test-hfoci')).toEqual([])
    })

    it(
      'a unit of that name elsewhere, and a path that is none, are refused',
      { timeout: 60_000 },
      async () => {
        const [id, other] = [world.id(), world.id()]
        expect((await create(id)).status, errors()).toBe(0)
        const path = (value: string) => create(other, (c) => (c.linux.cgroupsPath = value))
        expect((await path(`made-other.slice:test:${id}`)).status).toBe(1)
        expect(errors()).toContain(`systemd has a unit test-${id}.scope already`)
        expect((await path(`/made/${other}`)).status).toBe(1)
        expect(errors()).toContain('slice:prefix:name')
        expect(JSON.parse(await must('state', id))).toMatchObject({ status: 'created' })
        await must('delete', id)
        expect(await systemd.traces('test-hfoci')).toEqual([])
      },
    )

    it('what fails, or is killed, leaves no unit', { timeout: 60_000 }, async () => {
      const id = world.id()
      expect((await create(id, (c) => (c.hooks = { createRuntime: [{ path: '/bin/false' }] }))).status).toBe(
        1,
      )
      expect(errors()).toContain('createRuntime hook #0')
      expect(await systemd.traces(id)).toEqual([])
      const failing = await create(id, (c) => c.mounts.push({ destination: '/x', type: 'nonsensefs' }))
      expect(failing.status).toBe(1)
      expect(await systemd.traces(id)).toEqual([])
      // The hook ends the planner.
      const kill = `kill -KILL $(pgrep -f "^holdfast-oci: planner ${world.root}")`
      const hook = { path: '/bin/sh', args: ['sh', '-c', kill], env: ['PATH=/bin:/usr/bin'] }
      expect((await create(id, (c) => (c.hooks = { createRuntime: [hook] }))).status).toBe(1)
      expect(errors()).toContain('the planner is gone')
      expect(await systemd.traces(id)).toEqual([])
    })

    it.skipIf(version === 2)(
      'limits are its properties, and survive a reload',
      { timeout: 60_000 },
      async () => {
        const id = world.id()
        const made = await create(id, (c) => {
          c.linux.resources.memory = { limit: 32 << 20 }
          c.linux.resources.cpu = { shares: 512, quota: 50_000, period: 100_000 }
          c.linux.resources.pids = { limit: 2 }
        })
        expect(made.status, errors()).toBe(0)
        const names = ['MemoryLimit', 'CPUShares', 'CPUQuotaPerSecUSec', 'TasksMax', 'DevicePolicy']
        expect(await systemd.show(`test-${id}.scope`, names)).toEqual({
          MemoryLimit: String(32 << 20),
          CPUShares: '512',
          CPUQuotaPerSecUSec: '500ms',
          TasksMax: '2',
          DevicePolicy: 'strict',
        })
        await must('update', '--memory', '64M', '--pids-limit', '20', id)
        await systemd.enter(['systemctl', 'daemon-reload'])
        const dir = `made.slice/made-for.slice/test-${id}.scope`
        const read = async (file: string) => (await systemd.enter(['cat', `/sys/fs/cgroup/${file}`])).stdout
        expect(await read(`memory/${dir}/memory.limit_in_bytes`)).toBe(`${64 << 20}\n`)
        expect(await read(`pids/${dir}/pids.max`)).toBe('20\n')
        expect(await read(`devices/${dir}/devices.list`)).toContain('c 1:3 rwm')
        expect(await read(`devices/${dir}/devices.list`)).not.toContain('a *:*')
        await must('delete', '--force', id)
        expect(await systemd.traces(id)).toEqual([])
      },
    )
  })
})
