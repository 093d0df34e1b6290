/** The lifecycle of runtime.md, as the command line has it. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { executable, OciWorld, type Json } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('a container', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it('goes from created through running and stopped to gone', async () => {
    const id = world.create(['sh', '-c', 'echo ran > /out/file; exec sleep 100'], (config) => {
      config.annotations = { 'org.example.key': 'value' }
      config.mounts.push({ destination: '/out', type: 'bind', source: world.base, options: ['bind'] })
    })
    const created = world.state(id)
    expect(created).toMatchObject({
      ociVersion: '1.2.0',
      id,
      status: 'created',
      bundle: expect.stringMatching(/^\//),
      annotations: { 'org.example.key': 'value' },
    })
    expect(() => readFileSync(join(world.base, 'file'))).toThrow() // the program has not run
    world.must(['start', id])
    await eventually(() => readFileSync(join(world.base, 'file'), 'utf8') === 'ran\n')
    expect(world.state(id)).toMatchObject({ status: 'running', pid: created.pid })
    expect(world.call(['start', id])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('cannot start an already running container'),
    })
    expect(world.call(['delete', id]).stderr).toContain('that is not stopped: running')
    world.must(['kill', id, 'KILL'])
    await world.stopped(id)
    expect(world.state(id).pid).toBe(0)
    expect(world.call(['start', id]).stderr).toContain('cannot start a container that has stopped')
    expect(world.call(['kill', id, 'TERM'])).toMatchObject({ status: 1 })
    world.must(['delete', id])
    expect(world.call(['state', id])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('container does not exist'),
    })
    expect(world.leftovers(id)).toEqual([])
  })

  it('keeps the configuration that it was created with', async () => {
    const id = world.id()
    const bundle = world.bundle(['sh', '-c', 'echo before > /out/edited'], (config) => {
      config.mounts.push({ destination: '/out', type: 'bind', source: world.base, options: ['bind'] })
    })
    world.must(['create', '--bundle', bundle, id], { detached: true })
    writeFileSync(join(bundle, 'config.json'), '{}')
    world.must(['start', id])
    await world.stopped(id)
    expect(readFileSync(join(world.base, 'edited'), 'utf8')).toBe('before\n')
    world.must(['delete', id])
  })

  it('has an id of its own, which is free again after delete', () => {
    const id = world.create(['sleep', '100'])
    const again = world.call(['create', '--bundle', world.bundle(['true']), id])
    expect(again).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`container with given ID already exists: ${id}`),
    })
    expect(world.status(id)).toBe('created')
    world.must(['delete', '--force', id])
    world.must(['create', '--bundle', world.bundle(['true']), id], { detached: true })
    world.must(['delete', '--force', id])
    expect(world.leftovers(id)).toEqual([])
  })

  it.each(['', '.', '..', 'a/b', '-x'])('refuses the id %j', (id) => {
    expect(world.call(['create', '--bundle', world.bundle(['true']), '--', id]).status).toBe(1)
    expect(world.call(['state', '--', id]).status).toBe(1)
  })

  it('ends when it is killed before it was started', async () => {
    const id = world.create(['sleep', '100'])
    world.must(['kill', id, 'TERM'])
    await world.stopped(id)
    expect(world.call(['start', id]).status).toBe(1)
    world.must(['delete', id])
  })

  it('deletes by force whatever its state, and what is not there', () => {
    const id = world.running(['sleep', '100'])
    world.must(['delete', '--force', id])
    world.must(['delete', '--force', id])
    expect(world.call(['delete', id]).status).toBe(1)
    expect(world.leftovers(id)).toEqual([])
  })

  it('without a process can be created and not started', () => {
    const id = world.create([], (config) => delete config.process)
    expect(world.call(['start', id])).toMatchObject({ status: 1, stderr: expect.stringContaining('process') })
    expect(world.status(id)).toBe('created')
    world.must(['delete', '--force', id])
  })

  it('is paused and resumed, and then takes no exec meanwhile', () => {
    const id = world.running(['sleep', '100'])
    world.must(['pause', id])
    expect(world.status(id)).toBe('paused')
    expect(world.call(['exec', id, 'true'])).toMatchObject({
      status: 255,
      stderr: expect.stringContaining('cannot exec in a paused container'),
    })
    world.must(['resume', id])
    expect(world.status(id)).toBe('running')
    expect(world.call(['resume', id]).status).toBe(1)
    expect(world.call(['exec', id, 'true']).status).toBe(0)
    world.must(['delete', '--force', id])
  })

  it('runs in the foreground with its exit status, and leaves nothing', () => {
    const id = world.id()
    const outcome = world.call(
      ['run', '--bundle', world.bundle(['sh', '-c', 'cat; echo err >&2; exit 7']), id],
      {
        input: 'through',
      },
    )
    expect(outcome).toEqual({ status: 7, stdout: 'through', stderr: 'err\n' })
    expect(world.leftovers(id)).toEqual([])
  })

  it('ends with its status for a caller that ignores SIGCHLD too', () => {
    const id = world.id()
    const args = ['--root', world.root, 'run', '--bundle', world.bundle(['sh', '-c', 'exit 7']), id]
    const ignoring = ['-c', 'trap "" CHLD; exec "$0" "$@"', executable, ...args]
    expect(spawnSync('bash', ignoring, { timeout: 10_000 }).status).toBe(7)
    expect(world.leftovers(id)).toEqual([])
  })

  it('stays with --keep', () => {
    const id = world.id()
    world.must(['run', '--keep', '--bundle', world.bundle(['true']), id])
    expect(world.status(id)).toBe('stopped')
    world.must(['delete', id])
  })

  it('is a child of whoever reaps for its caller, and of nothing of ours', () => {
    const id = world.running(['sleep', '100'])
    const stat = readFileSync(`/proc/${world.state(id).pid}/stat`, 'latin1')
    const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]
    expect(readFileSync(`/proc/${parent}/cmdline`, 'latin1')).not.toContain('holdfast')
    world.must(['delete', '--force', id])
  })

  it('is signalled with --all down to what is beneath its cgroup', async () => {
    const id = world.running(['sh', '-c', 'trap : TERM; sleep 100 & wait; sleep 200'], (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: Json) => type !== 'pid')
      config.mounts = config.mounts.filter(({ destination }: Json) => destination !== '/proc')
    })
    const [cgroup = ''] = world.leftovers(id).filter((each) => each.startsWith('/'))
    const procs = (path: string) => readFileSync(path, 'latin1').split('\n').filter(Boolean).map(Number)
    await eventually(() => procs(join(cgroup, 'cgroup.procs')).length === 2)
    const [, child = 0] = procs(join(cgroup, 'cgroup.procs'))
    mkdirSync(join(cgroup, 'child'))
    writeFileSync(join(cgroup, 'child/cgroup.procs'), String(child))
    world.must(['kill', '--all', id, 'TERM'])
    await eventually(() => procs(join(cgroup, 'child/cgroup.procs')).length === 0)
    expect(world.status(id)).toBe('running') // it has caught the signal
    world.must(['kill', '-a', id, 'SIGKILL'])
    await world.stopped(id)
    world.must(['kill', '--all', id]) // nobody is left, and that is no error
    expect(world.call(['kill', id]).stderr).toContain('container not running')
    world.must(['delete', '--force', id])
    expect(world.leftovers(id)).toEqual([])
  })

  it('lists with its state', () => {
    const id = world.running(
      ['sleep', '100'],
      (config) => (config.annotations = { a: 'two\nlines, "quoted"' }),
    )
    const ended = world.create(['true'])
    world.must(['kill', ended, 'KILL'])
    const state = world.state(id)
    expect(world.must(['list', '-q']).split('\n')).toEqual(expect.arrayContaining([id, ended]))
    const json = world.must(['list', '--format=json'])
    const listed = JSON.parse(json) as Json[]
    expect(json).toBe(`${JSON.stringify(listed)}\n`)
    expect(listed.find((each) => each.id === id)).toEqual({ ...state, owner: 'root' })
    const rows = world
      .must(['list'])
      .split('\n')
      .map((line) => line.split(/ {3,}/))
    expect(rows[0]).toEqual(['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'])
    expect(rows).toContainEqual([id, String(state.pid), 'running', state.bundle, state.created, 'root'])
    expect(rows.find(([each]) => each === ended)?.slice(1, 3)).toEqual(['0', 'stopped'])
    expect(world.call(['list', '-f', 'yaml']).stderr).toContain('invalid format option')
    world.must(['delete', ended])
    expect(JSON.parse(world.must(['ps', '-f', 'json', id]))).toContain(world.state(id).pid)
    expect(world.must(['ps', id])).toMatch(/sleep 100/)
    world.must(['delete', '--force', id])
  })
})
