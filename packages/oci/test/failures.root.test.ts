/** Whatever goes wrong, and at whichever step: the error says what, and nothing is left. */
import type { ChildProcess } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { OciWorld, plannersOf, type Json } from './world.ts'

const root = process.getuid?.() === 0

describe.skipIf(!root)('a malformed configuration', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it.each([
    ['ociVersion', (c: Json) => (c.ociVersion = '2.0.0')],
    ['ociVersion', (c: Json) => (c.ociVersion = 1)],
    ['root.path', (c: Json) => (c.root.path = '')],
    ['process.cwd', (c: Json) => (c.process.cwd = 'relative')],
    ['process.args[0]', (c: Json) => (c.process.args = [7])],
    ['process.env[1]', (c: Json) => (c.process.env = ['A=1', null])],
    ['process.user.uid', (c: Json) => (c.process.user.uid = -1)],
    ['process.rlimits[0].type', (c: Json) => (c.process.rlimits[0].type = 'RLIMIT_NONSENSE')],
    ['process.rlimits[1].type', (c: Json) => c.process.rlimits.push(c.process.rlimits[0])],
    ['mounts[0].destination', (c: Json) => (c.mounts[0].destination = 3)],
    ['mounts[2].options[0]', (c: Json) => (c.mounts[2].options = [{}])],
    ['linux.namespaces[0].type', (c: Json) => (c.linux.namespaces[0].type = 'nonsense')],
    ['linux.namespaces[0].path', (c: Json) => (c.linux.namespaces[0].path = 'relative')],
    ['linux.resources.devices[0].access', (c: Json) => (c.linux.resources.devices[0].access = 'q')],
    ['linux.resources.memory.limit', (c: Json) => (c.linux.resources.memory = { limit: 'much' })],
    ['linux.devices[0].type', (c: Json) => (c.linux.devices = [{ type: 'z', path: '/dev/z' }])],
    ['linux.seccomp.defaultAction', (c: Json) => (c.linux.seccomp = { defaultAction: 'SCMP_ACT_NONSENSE' })],
    ['hooks.prestart[0].path', (c: Json) => (c.hooks = { prestart: [{ path: 'relative' }] })],
    [
      'hooks.poststop[0].timeout',
      (c: Json) => (c.hooks = { poststop: [{ path: '/bin/true', timeout: -1 }] }),
    ],
    ['annotations', (c: Json) => (c.annotations = { '': 'x' })],
    [
      'hostname',
      (c: Json) => (c.linux.namespaces = c.linux.namespaces.filter((n: Json) => n.type !== 'uts')),
    ],
  ])('is refused by the path %s', (path, change) => {
    const id = world.id()
    const bundle = world.bundle(['true'], change)
    const outcome = world.call(['create', '--bundle', bundle, id])
    expect(outcome.status).toBe(1)
    expect(outcome.stderr).toContain(`msg="${path} `)
    expect(world.leftovers(id)).toEqual([])
  })

  it('is refused where it is no JSON, and where it is not there', () => {
    const id = world.id()
    const bundle = world.bundle(['true'])
    writeFileSync(join(bundle, 'config.json'), '{')
    expect(world.call(['create', '--bundle', bundle, id]).stderr).toContain('is not JSON')
    expect(world.call(['create', '--bundle', '/nowhere', id]).stderr).toContain('not found')
    expect(world.leftovers(id)).toEqual([])
  })
})

describe.skipIf(!root)('a create that fails', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it.each([
    [
      'while foreign namespaces are opened',
      'no namespace',
      (c: Json) => (c.linux.namespaces[1].path = '/proc/self/nonsense'),
    ],
    [
      'at a limit that the cgroup refuses',
      'pids.limit',
      (c: Json) => (c.linux.resources.pids = { limit: 2 ** 52 }),
    ],
    ['as the root is staged', 'no such file', (c: Json) => (c.root.path = '/nowhere')],
    [
      'at a mount whose source is missing',
      'no such file',
      (c: Json) => c.mounts.push({ destination: '/x', type: 'bind', source: '/nowhere', options: ['bind'] }),
    ],
    [
      'at a file system that the kernel lacks',
      'no such device',
      (c: Json) => c.mounts.push({ destination: '/x', type: 'nonsensefs', source: 'x' }),
    ],
    [
      'at a sysctl that is not there',
      'net.nonsense',
      (c: Json) => (c.linux.sysctl = { 'net.nonsense': '1' }),
    ],
    [
      'at a createRuntime hook',
      'error running createRuntime hook #0',
      (c: Json) => (c.hooks = { createRuntime: [{ path: '/bin/false' }] }),
    ],
    [
      'at a createRuntime hook that hangs',
      'timed out',
      (c: Json) =>
        (c.hooks = { createRuntime: [{ path: '/bin/sleep', args: ['sleep', '100'], timeout: 1 }] }),
    ],
    [
      'at a createContainer hook',
      'error running hook',
      (c: Json) => (c.hooks = { createContainer: [{ path: '/bin/false' }] }),
    ],
    [
      'at a program that is missing',
      'executable file not found in $PATH',
      (c: Json) => (c.process.args = ['nonsense']),
    ],
    ['at a program that is no program', 'permission denied', (c: Json) => (c.process.args = ['/etc/passwd'])],
    [
      'at a working directory that is a file',
      'not a directory',
      (c: Json) => (c.process.cwd = '/etc/passwd'),
    ],
  ])('%s leaves nothing', (_, message, change) => {
    const id = world.id()
    const outcome = world.call(['create', '--bundle', world.bundle(['true'], change), id])
    expect(outcome.status).toBe(1)
    expect(outcome.stderr).toContain(message)
    expect(world.leftovers(id)).toEqual([])
  })

  it('at its pid file or its console socket leaves nothing', () => {
    for (const args of [
      ['--pid-file', '/nowhere/pid'],
      ['--console-socket', '/nowhere/socket'],
    ]) {
      const id = world.id()
      const bundle = world.bundle(
        ['sleep', '100'],
        (c) => (c.process.terminal = args[0] === '--console-socket'),
      )
      const outcome = world.call(['create', '--bundle', bundle, ...args, id])
      expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining(args[1]!) })
      expect(world.leftovers(id)).toEqual([])
    }
  })

  it('says so in a JSON log too', () => {
    const log = join(world.base, 'log.json')
    const id = world.id()
    world.call(['--log', log, '--log-format', 'json', 'create', '--bundle', world.bundle(['nonsense']), id])
    const lines = readFileSync(log, 'utf8').trim().split('\n')
    expect(JSON.parse(lines.at(-1)!)).toEqual({
      level: 'error',
      msg: expect.stringContaining('executable file not found in $PATH'),
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    })
  })

  it('because its caller was killed is undone by the planner', async () => {
    const id = world.id()
    const hook = sleepingHook(world, id, '3')
    const front = world.start(['create', '--bundle', world.bundle(['sleep', '100'], hook.add), id])
    await eventually(() => existsSync(hook.marker))
    expect(world.leftovers(id).length).toBeGreaterThan(1)
    front.kill('SIGKILL')
    await eventually(() => world.leftovers(id).length === 0)
  })

  it('because the planner was killed is undone by the next', async () => {
    const id = world.id()
    const hook = sleepingHook(world, id, '0.5')
    const ended = ending(world.start(['create', '--bundle', world.bundle(['sleep', '100'], hook.add), id]))
    await eventually(() => existsSync(hook.marker))
    killPlanner(world)
    expect(await ended).toBe(1)
    expect(world.leftovers(id)).toEqual([])
  })

  it('because the planner was killed before it launched anything is undone, and nothing else', async () => {
    const other = world.create(['sleep', '100'])
    const id = world.id()
    // It waits a moment for that cgroup to become empty.
    const bundle = world.bundle(['sleep', '100'], (c) => (c.linux.cgroupsPath = `/${other}`))
    const ended = ending(world.start(['create', '--bundle', bundle, id]))
    await eventually(() => existsSync(join(world.root, id)))
    killPlanner(world)
    expect(await ended).toBe(1)
    expect(world.leftovers(id)).toEqual([])
    expect(world.status(other)).toBe('created')
    world.must(['delete', other])
  })

  it.each([
    ['of its own', () => {}],
    ["that is its caller's", shareMounts],
  ])('whenever the planner is killed, with a mount namespace %s', { timeout: 60_000 }, async (_, change) => {
    for (let delayMs = 0; delayMs < 24; delayMs += 4) {
      const id = world.id()
      world.must(['features']) // there is a planner
      const ended = ending(world.start(['create', '--bundle', world.bundle(['sleep', '100'], change), id]))
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      killPlanner(world)
      if ((await ended) === 0) world.must(['delete', '--force', id])
      expect(world.leftovers(id), `after ${delayMs} ms`).toEqual([])
      expect(readdirSync(world.root).filter((name) => name.startsWith('.unborn'))).toEqual([])
    }
  })

  it('is not undone where another call made the container', () => {
    const id = world.create(['sleep', '100'])
    world.must(['undo', id])
    expect(world.status(id)).toBe('created')
    world.must(['delete', id])
  })
})

describe.skipIf(!root)('a start that fails', () => {
  const world = new OciWorld()
  afterAll(() => world[Symbol.dispose]())

  it('at a startContainer hook leaves a stopped container', async () => {
    const id = world.create(['sleep', '100'], (c) => (c.hooks = { startContainer: [{ path: '/bin/false' }] }))
    expect(world.call(['start', id])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('error running hook'),
    })
    await world.stopped(id)
    world.must(['delete', id])
    expect(world.leftovers(id)).toEqual([])
  })

  it('at a poststart hook ends the container', async () => {
    const id = world.create(['sleep', '100'], (c) => (c.hooks = { poststart: [{ path: '/bin/false' }] }))
    expect(world.call(['start', id])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('poststart hook #0'),
    })
    expect(world.status(id)).toBe('stopped')
    world.must(['delete', id])
  })

  it('at a filter that leaves the launcher no way to wait leaves nothing, and says why', () => {
    const id = world.id()
    const bundle = world.bundle(['true'], (c) => {
      const allowed = { names: ['execve', 'write', 'exit_group'], action: 'SCMP_ACT_ALLOW' }
      c.linux.seccomp = { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [allowed] }
    })
    const outcome = world.call(['run', '--bundle', bundle, id])
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('refuses read(2)') })
    expect(world.leftovers(id)).toEqual([])
  })

  it('at a filter that allows nothing, not even to end, leaves nothing', () => {
    const id = world.id()
    const bundle = world.bundle(['true'], (c) => {
      c.linux.seccomp = { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38, syscalls: [] }
    })
    const outcome = world.call(['run', '--bundle', bundle, id])
    expect(outcome).toMatchObject({ status: 1, stderr: expect.stringContaining('filter') })
    expect(world.leftovers(id)).toEqual([])
  })

  it('in `run` leaves nothing', () => {
    const id = world.id()
    const bundle = world.bundle(['sleep', '100'], (c) => (c.hooks = { poststart: [{ path: '/bin/false' }] }))
    expect(world.call(['run', '--bundle', bundle, id]).status).toBe(1)
    expect(world.leftovers(id)).toEqual([])
  })
})

function shareMounts(config: Json): void {
  config.linux.namespaces = config.linux.namespaces.filter(({ type }: Json) => type !== 'mount')
}

/** A createRuntime hook that makes `marker`, and takes its time. */
function sleepingHook(world: OciWorld, id: string, seconds: string) {
  const marker = join(world.base, `hook-${id}`)
  const hook = {
    path: '/bin/sh',
    args: ['sh', '-c', `touch ${marker}; exec sleep ${seconds}`],
    env: ['PATH=/bin:/usr/bin'],
  }
  return { marker, add: (c: Json) => (c.hooks = { createRuntime: [hook] }) }
}

const ending = (child: ChildProcess) => new Promise((resolve) => child.once('exit', resolve))

function killPlanner(world: OciWorld): void {
  for (const pid of plannersOf(world.root)) process.kill(pid, 'SIGKILL')
}
