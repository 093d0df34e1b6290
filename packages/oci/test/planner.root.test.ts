/** The planner: one for each set of namespaces, found again, and gone when nobody wants it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { executable, OciWorld, plannersOf, type Json } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('the planner', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it('is started once, also by many calls at a time, and serves them all', async () => {
    const calls = Array.from({ length: 6 }, () => world.start(['features']))
    const statuses = await Promise.all(
      calls.map((child) => new Promise((resolve) => child.once('exit', resolve))),
    )
    expect(statuses).toEqual([0, 0, 0, 0, 0, 0])
    expect(plannersOf(world.root)).toHaveLength(1)
  })

  it('belongs to nobody’s session, and holds nothing of its caller', () => {
    const [pid] = plannersOf(world.root)
    const links = readdirSync(`/proc/${pid}/fd`)
    expect(spawnSync('readlink', [`/proc/${pid}/cwd`], { encoding: 'utf8' }).stdout).toBe('/\n')
    expect(links).toContain('3')
    const environment = spawnSync('cat', [`/proc/${pid}/environ`], { encoding: 'utf8' }).stdout
    expect(
      environment
        .split('\0')
        .filter(Boolean)
        .map((each) => each.split('=')[0]),
    ).toEqual(['PATH', 'HOME', 'MALLOC_ARENA_MAX'])
  })

  it('is another in another mount namespace', () => {
    const args = ['-m', executable, '--root', world.root, 'features']
    expect(spawnSync('unshare', args, { encoding: 'utf8' }).status).toBe(0)
    expect(plannersOf(world.root)).toHaveLength(2)
  })

  it('can be missing: what needs none works, and the rest starts one', async () => {
    const [id, forced, created] = [world.running(sleep), world.running(sleep), world.create(sleep)]
    const hooked = world.create(sleep, (config) => (config.hooks = { poststop: [{ path: '/bin/true' }] }))
    const before = plannersOf(world.root)
    for (const pid of before) process.kill(pid, 'SIGKILL')
    await eventually(() => plannersOf(world.root).length === 0)
    expect(world.status(id)).toBe('running')
    expect(world.must(['list', '-q']).split('\n')).toEqual(
      expect.arrayContaining([id, forced, created, hooked]),
    )
    world.must(['kill', '--all', id, 'CONT'])
    expect(world.call(['delete', id]).stderr).toContain('not stopped: running')
    world.must(['kill', id, 'KILL'])
    await world.stopped(id)
    world.must(['delete', id])
    world.must(['delete', '--force', forced])
    world.must(['delete', created])
    world.must(['delete', '--force', 'nonsense'])
    expect(world.call(['delete', id]).stderr).toContain('container does not exist')
    for (const each of [id, forced, created]) expect(world.leftovers(each)).toEqual([])
    expect(plannersOf(world.root)).toEqual([])
    world.must(['delete', hooked])
    expect(plannersOf(world.root)).toHaveLength(1)
  })

  it('deletes what a front end alone cannot: cgroups in the container’s, and processes that are left', async () => {
    const id = world.running(sleep, (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: Json) => type !== 'pid')
      config.mounts = config.mounts.filter(({ destination }: Json) => destination !== '/proc')
    })
    for (const cgroup of world.leftovers(id).filter((each) => each.startsWith('/')))
      mkdirSync(join(cgroup, 'child'))
    world.must(['exec', '-d', id, 'sleep', '1000'], { detached: true })
    world.must(['delete', '--force', id])
    expect(world.leftovers(id)).toEqual([])
  })

  it('of one call alone does the same', () => {
    const id = world.id()
    const bundle = world.bundle(['sh', '-c', 'echo once; exit 2'])
    const outcome = world.call(['run', '--bundle', bundle, id], { env: { HOLDFAST_OCI_PLANNER: 'once' } })
    expect(outcome).toEqual({ status: 2, stdout: 'once\n', stderr: '' })
    expect(world.leftovers(id)).toEqual([])
  })

  it('ends with its runtime root', async () => {
    const pids = plannersOf(world.root)
    expect(pids.length).toBeGreaterThan(0)
    rmSync(world.root, { recursive: true })
    await eventually(() => pids.every((pid) => !alive(pid)))
  })
})

const sleep = ['sleep', '100']

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
