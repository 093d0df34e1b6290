import { closeSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { probeHost } from '@holdfast/core'
import type { Preparation } from '@holdfast/plan'
import { eventually } from '@holdfast/testkit'
import {
  applyCgroupWrites,
  cgroupProcesses,
  isPaused,
  killCgroup,
  makeCgroups,
  pauseCgroup,
  removeCgroups,
  resumeCgroup,
} from '../src/cgroup/cgroup.ts'
import { ExecutorWorld } from './executor-world.ts'

const world = new ExecutorWorld()
afterAll(() => world[Symbol.asyncDispose]())

type MakeCgroup = Extract<Preparation, { do: 'make-cgroup' }>

const layout = probeHost().cgroup
const name = (): string => `hfx-${randomBytes(4).toString('hex')}/c`

/** A cgroup of its own in every hierarchy of this machine, v1, v2 or both. */
function preparation(path = name(), limits: MakeCgroup['writes'] = []): MakeCgroup {
  const directories =
    layout.version === 2
      ? [{ as: 'cgroup', path: `${layout.mount}/${path}`, controllers: layout.controllers }]
      : layout.hierarchies.map(({ controllers, mount }) => ({
          as: `cgroup:${controllers.join(',') || 'unified'}`,
          path: `${mount}/${path}`,
          controllers,
        }))
  return {
    do: 'make-cgroup',
    version: layout.version,
    directories,
    enable: layout.version === 2 ? ['pids'] : [],
    writes: limits,
    devices: [],
  }
}

const pidsAs = layout.version === 2 ? 'cgroup' : 'cgroup:pids'
const procs = ({ directories }: MakeCgroup): string[] => directories.map(({ as }) => `${as}:procs`)

async function removeAll(cgroup: MakeCgroup): Promise<void> {
  await removeCgroups(cgroup.directories)
  await removeCgroups(cgroup.directories.map(({ path }) => ({ path: path.slice(0, path.lastIndexOf('/')) })))
}

describe('a cgroup that is delegated', () => {
  it('belongs to the container user, with the files that may be written and no others', async () => {
    const cgroup = { ...preparation(), owner: 4711 }
    const { handles, fds } = makeCgroups(cgroup)
    for (const fd of Object.values(fds)) closeSync(fd)
    const unified = handles.find(({ version }) => version === 2)!
    const ownerOf = (file: string) => statSync(join(unified.path, file)).uid
    expect(['.', 'cgroup.procs', 'cgroup.subtree_control'].map(ownerOf)).toEqual([4711, 4711, 4711])
    expect(ownerOf('cgroup.max.depth')).toBe(0)
    await removeAll(cgroup)
  })
})

describe('limits', () => {
  const at = (cgroup: MakeCgroup, as: string, file: string) =>
    readFileSync(join(cgroup.directories.find((each) => each.as === as)!.path, file), 'latin1').trim()
  const write = (as: string, file: string, value: string, extra: object = {}) => ({
    as,
    file,
    value,
    field: `linux.resources: ${file}`,
    ...extra,
  })

  it.runIf(layout.version === 1)(
    'that bound each other are written in whichever order the kernel takes',
    async () => {
      const limits = (memory: string, both: string) => [
        write('cgroup:memory', 'memory.limit_in_bytes', memory, { orAfterNext: true }),
        write('cgroup:memory', 'memory.memsw.limit_in_bytes', both),
      ]
      const cgroup = preparation(name(), limits('8388608', '8388608'))
      const { handles, fds } = makeCgroups(cgroup)
      for (const fd of Object.values(fds)) closeSync(fd)
      expect(at(cgroup, 'cgroup:memory', 'memory.memsw.limit_in_bytes')).toBe('8388608')
      applyCgroupWrites(handles, limits('33554432', '67108864'))
      expect(at(cgroup, 'cgroup:memory', 'memory.limit_in_bytes')).toBe('33554432')
      applyCgroupWrites(handles, limits('4194304', '4194304'))
      expect(at(cgroup, 'cgroup:memory', 'memory.memsw.limit_in_bytes')).toBe('4194304')
      await removeAll(cgroup)
    },
  )

  it('go to another file where there is one in their place, and else name their field', async () => {
    const cgroup = preparation()
    const { handles, fds } = makeCgroups(cgroup)
    for (const fd of Object.values(fds)) closeSync(fd)
    const missing = (otherwise?: object | null) => [write(pidsAs, 'pids.nosuch', '1', { otherwise })]
    applyCgroupWrites(handles, missing({ file: 'pids.max', value: '17' }))
    expect(at(cgroup, pidsAs, 'pids.max')).toBe('17')
    applyCgroupWrites(handles, missing(null))
    expect(() => applyCgroupWrites(handles, missing())).toThrow(/linux\.resources: pids\.nosuch/)
    await removeAll(cgroup)
  })

  it('below what is in use are refused before anything changes, where that was asked for', async () => {
    const cgroup = preparation()
    const { handles, fds } = makeCgroups(cgroup)
    for (const fd of Object.values(fds)) closeSync(fd)
    const writes = [
      write(pidsAs, 'pids.max', '5'),
      write(pidsAs, 'pids.max', '-1', { usage: 'pids.current' }),
    ]
    expect(() => applyCgroupWrites(handles, writes)).toThrow(/pids\.max is -1, and 0 is in use/)
    expect(at(cgroup, pidsAs, 'pids.max')).toBe('max')
    await removeAll(cgroup)
  })

  it.runIf(layout.version === 1)('do not suffer from cpusets above that somebody left empty', async () => {
    const cgroup = preparation(`${name()}/deep`)
    const { path } = cgroup.directories.find(({ controllers }) => controllers.includes('cpuset'))!
    mkdirSync(path, { recursive: true })
    expect(readFileSync(join(path, 'cpuset.cpus'), 'latin1').trim()).toBe('')
    const { fds } = makeCgroups(cgroup)
    for (const fd of Object.values(fds)) closeSync(fd)
    expect(readFileSync(join(path, 'cpuset.cpus'), 'latin1')).toMatch(/\d/)
    expect(readFileSync(join(path, 'cpuset.mems'), 'latin1')).toMatch(/\d/)
    const above = (up: number) =>
      cgroup.directories.map((each) => ({ path: join(each.path, ...Array<string>(up).fill('..')) }))
    for (const up of [0, 1, 2]) await removeCgroups(above(up))
  })

  it('are not set in a cgroup that is frozen, which is left as it was', async () => {
    const cgroup = preparation()
    const { handles, fds } = makeCgroups(cgroup)
    for (const fd of Object.values(fds)) closeSync(fd)
    await pauseCgroup(handles)
    expect(() => makeCgroups(cgroup)).toThrow(/unexpectedly frozen/)
    expect(isPaused(handles)).toBe(true)
    resumeCgroup(handles)
    const again = makeCgroups(cgroup)
    for (const fd of Object.values(again.fds)) closeSync(fd)
    await removeAll(cgroup)
  })
})

describe('a container in a cgroup', () => {
  it('is a member in every hierarchy, and its keeper in none', async () => {
    const cgroup = preparation()
    const live = await world.create(
      world.plan({
        preparations: [cgroup],
        after: [{ do: 'join-cgroups', procs: procs(cgroup) }],
        args: ['sleep', '100'],
      }),
    )
    try {
      const { init, keeper } = live.process
      // Stage one was born in there, and may be about to end.
      for (const { path } of cgroup.directories)
        await eventually(() => cgroupProcesses([{ path }]).join() === String(init.pid))
      expect(readFileSync(`/proc/${keeper.pid}/cgroup`, 'utf8')).not.toContain('hfx-')
      await live.process.door.open()
    } finally {
      live.kill(9)
      await live.finish()
      await removeAll(cgroup)
    }
    for (const { path } of cgroup.directories) expect(existsSync(path), path).toBe(false)
  })

  it('is held to its limits, even to a single process', async () => {
    const cgroup = preparation(name(), [
      { as: pidsAs, file: 'pids.max', value: '1', field: 'linux.resources.pids.limit' },
    ])
    const live = await world.create(
      world.plan({
        preparations: [cgroup],
        after: [{ do: 'join-cgroups', procs: procs(cgroup) }],
        args: ['sh', '-c', '(true) 2>&1; echo $?'],
      }),
    )
    await live.process.door.open()
    expect((await live.finish()).output).toMatch(/can't fork/)
    await removeAll(cgroup)
  })

  it('is paused and resumed as a whole', async () => {
    const cgroup = preparation()
    const live = await world.create(
      world.plan({
        preparations: [cgroup],
        after: [{ do: 'join-cgroups', procs: procs(cgroup) }],
        args: ['sh', '-c', 'echo up; while :; do usleep 1000; done'],
      }),
    )
    await live.process.door.open()
    await live.until(/up/)
    const { cgroups } = live.container
    await pauseCgroup(cgroups)
    expect(isPaused(cgroups)).toBe(true)
    const spent = (): string =>
      readFileSync(`/proc/${live.process.init.pid}/stat`, 'utf8').split(' ').slice(13, 15).join()
    const before = spent()
    expect(spent()).toBe(before)
    resumeCgroup(cgroups)
    expect(isPaused(cgroups)).toBe(false)
    killCgroup(cgroups)
    expect((await live.finish()).signal).toBe(9)
    await removeAll(cgroup)
  })

  it('leaves no directory when its create fails', async () => {
    const cgroup = preparation()
    const plan = world.plan({
      preparations: [cgroup],
      after: [
        { do: 'join-cgroups', procs: procs(cgroup) },
        { do: 'chdir', path: '/nowhere', create: false },
      ],
    })
    await expect(world.create(plan)).rejects.toMatchObject({ code: 'ENOENT', path: '/nowhere' })
    for (const { path } of cgroup.directories) expect(existsSync(path), path).toBe(false)
    await removeAll(cgroup)
  })

  it('is refused a limit that the kernel refuses, by the name of the field, and nothing is left', async () => {
    const cgroup = preparation(name(), [
      { as: pidsAs, file: 'pids.max', value: 'many', field: 'linux.resources.pids.limit' },
    ])
    await expect(world.create(world.plan({ preparations: [cgroup] }))).rejects.toMatchObject({
      code: 'EINVAL',
      step: 'linux.resources.pids.limit: many',
    })
    for (const { path } of cgroup.directories) expect(existsSync(path), path).toBe(false)
    await removeAll(cgroup)
  })

  it('takes exec along, and is refused where others live', async () => {
    const cgroup = preparation()
    const plan = world.plan({
      preparations: [cgroup],
      after: [{ do: 'join-cgroups', procs: procs(cgroup) }],
      args: ['sleep', '100'],
    })
    const live = await world.create(plan)
    await live.process.door.open()
    await expect(world.create(plan)).rejects.toMatchObject({ code: 'HF_INVALID_CONFIG' })
    const exec = await world.exec(live.container, [
      { do: 'join-process', pidfd: 'pidfd', namespaces: ['user', 'mnt', 'pid'] },
      { do: 'become-root' },
      { do: 'clone', namespaces: [], keep: [] },
      { do: 'join-cgroups', procs: procs(cgroup) },
      { do: 'door' },
      { do: 'exec', args: ['sleep', '100'], env: ['PATH=/bin'], init: false },
    ])
    await exec.process.door.open()
    for (const { path } of cgroup.directories) {
      expect(cgroupProcesses([{ path }]), path).toEqual(
        [live.process.init.pid, exec.process.init.pid].sort((a, b) => a - b),
      )
    }
    live.kill(9)
    await live.finish()
    expect((await exec.finish()).signal).toBe(9) // the pid namespace ends with its init
    await eventually(() => cgroupProcesses(cgroup.directories).length === 0)
    await removeAll(cgroup)
  })
})

const unified =
  layout.version === 2
    ? layout.mount
    : layout.hierarchies.find(({ controllers }) => controllers.length === 0)?.mount

// On a machine with v1 hierarchies the v2 tree beside them has no controllers, but all of v2's ways.
describe.skipIf(unified === undefined)('a container in cgroup v2 alone', () => {
  const v2 = (path = name()): MakeCgroup => ({
    do: 'make-cgroup',
    version: 2,
    directories: [{ as: 'cgroup', path: `${unified}/${path}`, controllers: [] }],
    enable: [],
    writes: [],
    devices: [],
  })

  it('is born in it, also with a user namespace whose root may not write there', async () => {
    const cgroup = v2()
    const live = await world.create(
      world.plan({
        preparations: [cgroup],
        after: [
          { do: 'join-cgroups', procs: ['cgroup:procs'] },
          { do: 'unshare', namespaces: ['cgroup'] },
        ],
        args: ['sh', '-c', 'grep ^0 /proc/self/cgroup; sleep 100'],
      }),
    )
    await live.process.door.open()
    expect(await live.until(/::/)).toBe('0::/\n')
    await pauseCgroup(live.container.cgroups)
    expect(isPaused(live.container.cgroups)).toBe(true)
    resumeCgroup(live.container.cgroups)
    killCgroup(live.container.cgroups)
    expect((await live.finish()).signal).toBe(9)
    await removeAll(cgroup)
    expect(existsSync(cgroup.directories[0]!.path)).toBe(false)
  })
})
