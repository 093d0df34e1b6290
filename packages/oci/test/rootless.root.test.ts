/** Callers without rights over the host: another user than root, and root of a user namespace. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { executable, OciWorld, type Json, type Outcome } from './world.ts'

const uid = 61_000
const asUser = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']

/** Not where the checkout lies in a directory of root's alone. */
const canRun =
  process.getuid?.() === 0 &&
  spawnSync(asUser[0]!, [...asUser.slice(1), 'test', '-x', executable]).status === 0

describe.skipIf(!canRun)('a user who is not root', () => {
  const world = new OciWorld()
  const home = join(world.base, 'home')
  mkdirSync(home)
  chownSync(home, uid, uid)
  for (const path of [world.base, world.rootfs]) chmodSync(path, 0o755)
  afterAll(() => {
    rmSync(home, { recursive: true, force: true }) // with the planners that listen there
    world[Symbol.dispose]()
  })

  const inHome = (command: string[]): Outcome => {
    const { status, stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
      encoding: 'utf8',
      timeout: 20_000,
      env: { PATH: process.env['PATH'], XDG_RUNTIME_DIR: home },
      stdio: command.includes('create') ? 'ignore' : 'pipe', // its container keeps them
    })
    return { status, stdout: stdout ?? '', stderr: stderr ?? '' }
  }
  const call = (...args: string[]): Outcome => inHome([...asUser, executable, ...args])
  const bundle = (script: string, change: (config: Json) => void = () => {}): string => {
    const directory = join(home, world.id())
    inHome([...asUser, 'mkdir', directory])
    expect(call('spec', '--rootless', '--bundle', directory).status).toBe(0)
    const file = join(directory, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8')) as Json
    config.process.terminal = false
    config.process.args = ['sh', '-c', script]
    config.root = { path: world.rootfs, readonly: true }
    change(config)
    writeFileSync(file, JSON.stringify(config))
    return directory
  }
  const run = (script: string, change?: (config: Json) => void): Outcome =>
    call('run', '--bundle', bundle(script, change), world.id())

  it('is root of a container, whose devices are the host’s', () => {
    const { status, stdout } = run(
      'id -u; cat /proc/self/uid_map; echo x > /dev/null && head -c 2 /dev/zero | wc -c',
    )
    expect(status).toBe(0)
    expect(stdout.split(/\s+/)).toEqual(['0', '0', String(uid), '1', '2', ''])
    expect(
      run('ls /', (config) => (config.linux.devices = [{ path: '/dev/no', type: 'c', major: 1, minor: 3 }]))
        .stderr,
    ).toContain("open_tree '/dev/no'")
  })

  it('creates, executes in, kills and deletes it, with nothing left', () => {
    const id = world.id()
    expect(call('create', '--bundle', bundle('sleep 1000'), id).status).toBe(0)
    expect(call('start', id).status).toBe(0)
    expect(call('exec', id, 'sh', '-c', 'id -u; pwd')).toMatchObject({ status: 0, stdout: '0\n/\n' })
    expect(call('list', '-q').stdout).toBe(`${id}\n`)
    expect(call('ps', id).stderr).toContain('no cgroup of its own')
    expect(call('pause', id).status).not.toBe(0)
    expect(call('delete', '--force', id).status).toBe(0)
    expect(call('list', '-q').stdout).toBe('')
    expect(world.leftovers(id)).toEqual([])
  })

  it('needs a user namespace, and is told of limits that it cannot set', () => {
    const host = run('id', (config) => {
      config.linux.namespaces = config.linux.namespaces.filter(({ type }: Json) => type !== 'user')
    })
    expect(host.stderr).toContain('rootless container requires user namespaces')
    const limited = run('id', (config) => (config.linux.resources = { memory: { limit: 1 << 26 } }))
    expect(limited.stderr).toContain('cannot set memory limit: container could not join or create cgroup')
    const named = run('id', (config) => (config.linux.cgroupsPath = '/nobodys'))
    expect(named.stderr).toContain('permission denied')
  })

  it('may leave itself to the out-of-memory killer earlier, not later', () => {
    const score = (oomScoreAdj: number): Outcome =>
      run('cat /proc/self/oom_score_adj', (config) => (config.process.oomScoreAdj = oomScoreAdj))
    const own = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
    expect(score(own).stdout).toBe(`${own}\n`)
    expect(score(own + 100).stdout).toBe(`${own + 100}\n`)
    expect(score(own - 100).stderr).toContain('oom_score_adj')
  })

  it('has the ids that /etc/subuid gives it, and groups with them', () => {
    const maps = [
      { containerID: 0, hostID: uid, size: 1 },
      { containerID: 1, hostID: 2_000_000, size: 1000 },
    ]
    const directory = bundle('id -u; id -G; cat /proc/self/setgroups', (config) => {
      config.linux.uidMappings = config.linux.gidMappings = maps
      config.process.user = { uid: 7, gid: 8, additionalGids: [9] }
    })
    const refused = call('run', '--bundle', directory, world.id())
    expect(refused.stderr).toContain('linux.uidMappings: newuidmap: ')
    const ranges = join(world.base, 'ranges')
    const user = join(world.base, 'passwd')
    writeFileSync(ranges, `hfuser:2000000:1000\n`)
    writeFileSync(user, `${readFileSync('/etc/passwd', 'utf8')}hfuser:x:${uid}:${uid}::/:/bin/sh\n`)
    const mounts = [
      [ranges, '/etc/subuid'],
      [ranges, '/etc/subgid'],
      [user, '/etc/passwd'],
    ]
      .map(([from, to]) => `mount --bind ${from} ${to}`)
      .join(' && ')
    const command = `${mounts} && exec "$@"`
    const { stdout, stderr } = inHome([
      'unshare',
      '--mount',
      'sh',
      '-c',
      command,
      'sh',
      ...asUser,
      executable,
      'run',
      '--bundle',
      directory,
      world.id(),
    ])
    expect(stderr).not.toContain('level=error')
    expect(stdout).toBe('7\n8 9\nallow\n')
  })
})

describe.skipIf(!canRun)('root of a user namespace', () => {
  const world = new OciWorld()
  for (const path of [world.base, world.rootfs]) chmodSync(path, 0o755)
  afterAll(() => world[Symbol.dispose]())

  it('makes a container with what the namespace has', () => {
    const root = join(world.base, 'own')
    mkdirSync(root)
    chownSync(root, uid, uid)
    const directory = world.bundle(
      ['sh', '-c', 'id -u; id -G; head -c 1 /dev/zero | wc -c; hostname'],
      (config) => {
        config.process.user.additionalGids = [5]
        for (const mount of config.mounts)
          // of a group that isn't mapped
          mount.options = mount.options?.filter((option: string) => option !== 'gid=5')
      },
    )
    const command = [...asUser, 'unshare', '--user', '--map-root-user', '--mount', '--net', executable]
    const { stdout, stderr } = spawnSync(
      command[0]!,
      [...command.slice(1), '--root', root, 'run', '--bundle', directory, world.id()],
      { encoding: 'utf8', timeout: 20_000, env: { PATH: process.env['PATH'] } },
    )
    expect(stderr).toContain('process.user.additionalGids has no effect')
    expect(stdout).toBe('0\n0\n1\nholdfast\n')
    rmSync(root, { recursive: true })
  })
})
