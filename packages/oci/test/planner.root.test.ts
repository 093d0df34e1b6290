/** The planner: one for each set of namespaces, found again, and gone when nobody wants it. */
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { executable, OciWorld, plannersOf } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('the planner', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it('is started once, also by many calls at a time, and serves them all', async () => {
    const calls = Array.from({ length: 6 }, () => world.start(['list', '-q']))
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
    const args = ['-m', executable, '--root', world.root, 'list', '-q']
    expect(spawnSync('unshare', args, { encoding: 'utf8' }).status).toBe(0)
    expect(plannersOf(world.root)).toHaveLength(2)
  })

  it('can be missing: what needs none works, and the rest starts one', () => {
    const id = world.running(['sleep', '100'])
    for (const pid of plannersOf(world.root)) process.kill(pid, 'SIGKILL')
    expect(world.status(id)).toBe('running')
    world.must(['kill', id, 'KILL'])
    world.must(['delete', '--force', id])
    expect(plannersOf(world.root)).toHaveLength(1)
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

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
