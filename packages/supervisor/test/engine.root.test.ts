import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { bindNamespace, closeFd, createNamespace, namespaceInode, umount } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import type { ContainerConfig, HostConfig } from '../src/engine/container-config.ts'
import { EngineWorld } from './engine-world.ts'

const isRoot = process.getuid?.() === 0
let world: EngineWorld

/** How often the kernel has complained that a writable layer was mounted while another mount had it. */
const mountedTwice = (): number =>
  execFileSync('dmesg', { encoding: 'utf8' }).split('is in-use as upperdir').length - 1

describe.skipIf(!isRoot)('the engine', () => {
  beforeAll(async () => {
    world = await EngineWorld.open()
  })
  afterAll(async () => {
    await world[Symbol.asyncDispose]()
  })

  it('runs a program, keeps its log and its exit code, and removes it', async () => {
    const id = await world.start('echo out; echo err >&2; exit 7')
    expect(await world.exit(id)).toBe(7)
    expect((await world.output(id)).split('\n').toSorted()).toEqual(['', 'err', 'out'])
    expect(world.engine.get(id).state).toMatchObject({ status: 'exited', exitCode: 7, pid: 0, error: '' })
    await world.engine.remove(id, { force: false, volumes: false })
    expect(() => world.engine.get(id)).toThrow('No such container')
    expect(existsSync(`${world.root}/run/c/${id}`)).toBe(false)
    await eventually(() => !existsSync(`${world.root}/data/containers/${id}`)) // in the background
  })

  it('tells a command that is missing from one that cannot be executed', async () => {
    for (const [command, code, words] of [
      ['nosuch', 127, 'executable file not found'],
      ['/etc/passwd', 126, 'permission denied'],
    ] as const) {
      const id = await world.create([command])
      await expect(world.engine.start(id)).rejects.toThrow(words)
      expect(world.engine.get(id).state).toMatchObject({ status: 'created', exitCode: code })
      expect(existsSync(`${world.root}/run/c/${id}`)).toBe(false)
    }
  })

  it('says that a mount or a working directory has no place in the image', async () => {
    const misplaced: [Partial<HostConfig>, Partial<ContainerConfig>, RegExp][] = [
      [{ Binds: ['/tmp:/etc/passwd'] }, {}, /'\/etc\/passwd': EINVAL \(mounts/],
      [{ Binds: ['/etc/passwd:/etc'] }, {}, /'\/etc': EINVAL \(mounts/],
      [{ Tmpfs: { '/etc/passwd': '' } }, {}, /ENOTDIR \(mounts/],
      [{}, { WorkingDir: '/etc/passwd' }, /ENOTDIR \(process\.cwd/],
      [{}, { WorkingDir: '/proc/self/fd/0' }, /ELOOP \(process\.cwd/],
    ]
    for (const [host, config, message] of misplaced) {
      const id = await world.create('true', host, config)
      const error = await world.engine.start(id).then(
        () => undefined,
        (failed: unknown) => failed,
      )
      expect(error).toMatchObject({ code: 'HF_INVALID_CONFIG', message: expect.stringMatching(message) })
      expect(world.engine.get(id).state).toMatchObject({ status: 'created', exitCode: 127 })
      await world.engine.remove(id, { force: false, volumes: false })
    }
  })

  it('mounts a root again only when the one before is unmounted, which waits for the disk', async () => {
    const id = await world.start('dd if=/dev/zero of=/big bs=1M count=400 2>/dev/null')
    expect(await world.exit(id)).toBe(0)
    const before = mountedTwice()
    await world.engine.start(id)
    expect(mountedTwice()).toBeLessThanOrEqual(before) // the kernel forgets old lines
  })

  it('says 128+n of a program that a signal ended', async () => {
    const id = await world.start('sleep 100')
    await world.engine.kill(id, 'SIGKILL')
    expect(await world.exit(id)).toBe(137)
  })

  it('refuses bad requests and changes nothing', async () => {
    const before = world.engine.list().length
    const missing = `${world.root}/nosuch`
    await expect(world.create(['true'], {}, { Image: 'nosuch' })).rejects.toMatchObject({
      code: 'HF_IMAGE_NOT_FOUND',
    })
    await expect(
      world.create(['true'], {
        Mounts: [{ Type: 'bind', Source: missing, Target: '/x', ReadOnly: false }],
      }),
    ).rejects.toThrow(`bind source path does not exist: ${missing}`)
    await expect(world.create(['true'], { NetworkMode: 'mine' })).rejects.toMatchObject({
      code: 'HF_NETWORK_NOT_FOUND',
    })
    await expect(
      world.create(['true'], { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } }),
    ).rejects.toMatchObject({ code: 'HF_UNSUPPORTED' })
    await expect(world.create(['true'], { CapAdd: ['NOPE'] })).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
    await expect(world.create(['true'], {}, { WorkingDir: 'here' })).rejects.toThrow(
      'it needs to be an absolute path',
    )
    expect(world.engine.list()).toHaveLength(before)
  })

  it('has a user namespace with ids of its own, and the host’s when asked', async () => {
    const own = await world.run('cat /proc/self/uid_map; touch /x; id -u')
    const [, start] = own.output.trim().split(/\s+/).map(Number)
    expect(start).toBeGreaterThanOrEqual(0x7000_0000)
    const host = await world.run('cat /proc/self/uid_map', { UsernsMode: 'host' })
    expect(host.output.trim().split(/\s+/)).toEqual(['0', '0', '4294967295'])
    expect(
      (await world.run('cat /proc/self/uid_map', { Privileged: true })).output.trim().split(/\s+/),
    ).toEqual(['0', '0', '4294967295'])
  })

  it('looks users up in the image', async () => {
    expect((await world.run('id; echo $HOME', {}, { User: 'user' })).output).toBe(
      'uid=1000(user) gid=1000(user) groups=10(wheel),1000(user)\n/home/user\n',
    )
    const added = await world.start('echo "new:x:77:77::/:/bin/sh" >> /etc/passwd; sleep 100')
    await world.exec(added, 'grep new /etc/passwd')
    expect((await world.exec(added, 'id -u', { user: 'new' })).output).toBe('77\n')
    await world.engine.remove(added, { force: true, volumes: false })
    const id = await world.create(['true'], {}, { User: 'stranger' })
    await expect(world.engine.start(id)).rejects.toThrow('unable to find user stranger')
  })

  it('keeps the owners of bind mounts, and makes them read-only all the way down', async () => {
    const directory = mkdtempSync('/tmp/hf-')
    writeFileSync(`${directory}/seen`, 'from the host')
    const { output } = await world.run(
      'cat /d/seen; stat -c %u /d/seen; echo back > /d/back; touch /r/no 2>&1',
      {
        Binds: [`${directory}:/d`, `${directory}:/r:ro`],
      },
    )
    expect(output).toContain('from the host0\n')
    expect(output).toContain('Read-only file system')
    expect(readFileSync(`${directory}/back`, 'utf8')).toBe('back\n')
    expect(statSync(`${directory}/back`).uid).toBe(0)
    rmSync(directory, { recursive: true })
  })

  it('makes the missing source of -v', async () => {
    const path = `${world.root}/made/by/v`
    expect((await world.run('ls -d /d', { Binds: [`${path}:/d`] })).code).toBe(0)
    expect(statSync(path).isDirectory()).toBe(true)
  })

  it('fills a new volume from the image, keeps it, and removes the anonymous ones', async () => {
    const first = await world.run('cat /www/index.html; stat -c %u /www; echo more > /www/more', {
      Binds: ['data:/www'],
    })
    expect(first.output).toBe('it works\n0\n')
    expect((await world.run('ls /www', { Binds: ['data:/www:ro'] })).output).toBe('index.html\nmore\n')
    const id = await world.start('ls /var', {}, { Volumes: { '/var': {} } })
    await world.exit(id)
    expect(await world.output(id)).toBe('tmp\n')
    expect(world.engine.volumes()).toHaveLength(2)
    await world.engine.remove(id, { force: false, volumes: true })
    expect(world.engine.volumes().map(({ name }) => name)).toEqual(['data'])
  })

  it('executes further programs, with user, exit code and all output', async () => {
    const id = await world.start('trap "exit 3" TERM; sleep 100 & wait')
    expect(await world.exec(id, 'echo hi; exit 5')).toEqual({ code: 5, output: 'hi\n' })
    expect((await world.exec(id, 'id -un', { user: 'user' })).output).toBe('user\n')
    expect((await world.exec(id, 'tty', { tty: true })).output.trim()).toBe('/dev/pts/0')
    expect((await world.engine.processes(id)).length).toBeGreaterThanOrEqual(2)
    expect(await world.engine.stop(id, { timeout: 5 })).toBe(true)
    expect(world.engine.get(id).state.exitCode).toBe(3)
    expect(await world.engine.stop(id, {})).toBe(false)
  })

  it('launches an exec when it is created, where that follows another', async () => {
    const id = await world.start('sleep 100')
    const before = await world.engine.processes(id)
    await world.exec(id, 'true')
    const exec = await world.execCreate(id, 'exit 4')
    // For half a second, unless it is started.
    await eventually(async () => (await world.engine.processes(id)).length > before.length)
    await eventually(async () => (await world.engine.processes(id)).length === before.length)
    await world.engine.execStart(exec, { detach: true, tty: false })
    await eventually(async () => (await world.engine.execGet(exec)).exitCode === 4)
  })

  it('attaches before the start, takes input to its end, and gives all output', async () => {
    const id = await world.create('cat; echo done', {}, { OpenStdin: true, StdinOnce: true })
    const session = await world.engine.attach(id, {
      stdin: true,
      stdout: true,
      stderr: true,
      logs: false,
      stream: true,
    })
    const written = session.write(Buffer.from('one two\n')).then(() => session.end())
    await world.engine.start(id)
    await written
    let output = ''
    for await (const { data } of session.output) output += String(data)
    expect(output).toBe('one two\ndone\n')
    expect(await world.exit(id)).toBe(0)
  })

  it('follows a log until the container ends', async () => {
    const id = await world.start('for i in 1 2 3; do echo $i; sleep 0.05; done')
    expect(await world.output(id, true)).toBe('1\n2\n3\n')
  })

  it('pauses and goes on; a stopped pause ends it', async () => {
    const id = await world.start('sleep 100')
    await world.engine.pause(id)
    expect(world.engine.get(id).state.status).toBe('paused')
    await expect(world.exec(id, 'true')).rejects.toMatchObject({ code: 'HF_CONTAINER_PAUSED' })
    await world.engine.unpause(id)
    await world.engine.pause(id)
    await world.engine.stop(id, { timeout: 0 })
    expect(await world.exit(id)).toBe(137)
  })

  it('restarts, with a new log line and the same root', async () => {
    const id = await world.start('echo run >> /count; cat /count; sleep 100')
    await eventually(() => world.output(id))
    await world.engine.restart(id, { timeout: 0 })
    await eventually(async () => (await world.output(id)).split('\n').length >= 4)
    expect(await world.output(id)).toBe('run\nrun\nrun\n')
    await world.engine.remove(id, { force: true, volumes: false })
  })

  it('removes a container of --rm by itself, and tells in order what happened', async () => {
    const watch = world.watch()
    const id = await world.create('exit 4', { AutoRemove: true, NetworkMode: 'bridge' })
    const removed = world.exit(id, 'removed')
    const next = world.exit(id, 'next-exit')
    await world.engine.start(id)
    expect(await Promise.all([removed, next])).toEqual([4, 4])
    expect(() => world.engine.get(id)).toThrow('No such container')
    await new Promise((resolve) => setImmediate(resolve)) // events are delivered in their own time
    watch.stop()
    expect(watch.events.map(({ Type, Action }) => `${Type} ${Action}`)).toEqual([
      'container create',
      'network connect',
      'container start',
      'container die',
      'network disconnect',
      'container destroy',
    ])
  })

  it('renames, and gives names to one container only', async () => {
    const [a, b] = [await world.create(['true']), await world.create(['true'])]
    await world.engine.rename(a, 'first')
    await expect(world.engine.rename(b, 'first')).rejects.toThrow(
      'Conflict. The container name "/first" is already in use',
    )
    expect(world.engine.get('/first').id).toBe(a)
    expect(world.engine.get(a.slice(0, 12)).id).toBe(a)
  })

  it('joins another container’s network and ipc, and so its user namespace', async () => {
    const first = await world.start('sleep 100', { NetworkMode: 'bridge', IpcMode: 'shareable' })
    const address = world.engine.get(first).networks['bridge']!.ipAddress
    const { output } = await world.run(
      'ip -4 addr show eth0; for t in net ipc user; do readlink /proc/self/ns/$t; done; touch /dev/shm/seen',
      {
        NetworkMode: `container:${first}`,
        IpcMode: `container:${first}`,
      },
    )
    expect(output).toContain(address)
    expect(output).toContain(
      (await world.exec(first, 'for t in net ipc user; do readlink /proc/self/ns/$t; done')).output,
    )
    expect((await world.exec(first, 'ls /dev/shm')).output).toBe('seen\n')
    const second = await world.start('sleep 100', { IpcMode: `container:${first}` })
    const through = await world.run('ls /dev/shm', { IpcMode: `container:${second}` })
    expect(through.output).toBe('seen\n')
    await world.engine.remove(second, { force: true, volumes: false })
    await world.engine.remove(first, { force: true, volumes: false })
  })

  it.each(['', 'private', 'none'])('lets nobody join an IPC namespace of mode %j', async (IpcMode) => {
    const owner = await world.start('sleep 100', { IpcMode })
    const guest = await world.create('true', { IpcMode: `container:${owner}` })
    await expect(world.engine.start(guest)).rejects.toThrow('non-shareable IPC')
    for (const id of [guest, owner]) await world.engine.remove(id, { force: true, volumes: false })
  })

  it('shares the host’s namespaces when asked', async () => {
    const { output } = await world.run('for t in net pid ipc uts; do readlink /proc/self/ns/$t; done', {
      NetworkMode: 'host',
      PidMode: 'host',
      IpcMode: 'host',
      UTSMode: 'host',
    })
    expect(output.trim().split('\n')).toEqual(
      ['net', 'pid', 'ipc', 'uts'].map((type) => readlinkSync(`/proc/self/ns/${type}`)),
    )
  })

  it('publishes a port, and says who has one that is taken', async () => {
    const id = await world.start('httpd -f -h /www', {
      NetworkMode: 'bridge',
      PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
    })
    const { HostPort } = world.engine.get(id).networks['bridge']!.ports['80/tcp']![0]!
    const page = await eventually(async () => (await fetch(`http://127.0.0.1:${HostPort}/`)).text())
    expect(page).toBe('it works\n')
    const other = await world.create('true', {
      NetworkMode: 'bridge',
      PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort }] },
    })
    await expect(world.engine.start(other)).rejects.toMatchObject({ code: 'HF_PORT_IN_USE' })
    expect(existsSync(`${world.root}/run/c/${other}`)).toBe(false)
    await world.engine.remove(id, { force: true, volumes: false })
  })

  it('reports every namespace with who is in it', async () => {
    const id = await world.start('sleep 100')
    const reports = (await world.engine.namespaces()).filter(({ container }) => container.id === id)
    expect(reports.map(({ type }) => type).toSorted()).toEqual([
      'cgroup',
      'ipc',
      'mnt',
      'net',
      'pid',
      'time',
      'user',
      'uts',
    ])
    const { pid } = world.engine.get(id).state
    for (const report of reports)
      expect(report).toMatchObject({ origin: 'new', pids: expect.arrayContaining([pid]) as number[] })
    expect(await world.engine.explain(id)).toMatchObject({
      config: { process: { args: ['sh', '-c', 'sleep 100'] } },
    })
    await world.engine.remove(id, { force: true, volumes: false })
  })

  it('joins a named namespace that no process is in, and one by path', async () => {
    const directory = `${world.root}/run/ns/net`
    mkdirSync(directory, { recursive: true })
    writeFileSync(`${directory}/shop`, '')
    const netns = createNamespace('net')
    const inode = namespaceInode(netns)
    bindNamespace(netns, `${directory}/shop`)
    closeFd(netns)
    try {
      const { output } = await world.run('readlink /proc/self/ns/net; ip link | grep -c eth0', {
        NetworkMode: 'ns:shop',
      })
      expect(output).toBe(`net:[${inode}]\n0\n`)
      const byPath = await world.run('readlink /proc/self/ns/net', {
        NetworkMode: `${directory}/shop`,
        UsernsMode: 'host',
      })
      expect(byPath.output).toBe(`net:[${inode}]\n`)
    } finally {
      umount(`${directory}/shop`, 2)
      rmSync(`${directory}/shop`)
    }
    const id = await world.create('true', { NetworkMode: 'ns:shop' })
    await expect(world.engine.start(id)).rejects.toMatchObject({ code: 'HF_NAMESPACE_NOT_FOUND' })
  })

  it('shifts the clocks of a time namespace', async () => {
    const { output } = await world.run('cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime', {
      TimeOffsets: { boottime: 864_000 },
    })
    expect(output).toMatch(/boottime\s+864000\s+0/)
    expect(Number(output.trim().split('\n').at(-1))).toBeGreaterThan(864_000)
  })

  it('shares a user namespace with nothing else', async () => {
    const first = await world.start('sleep 100')
    const { output } = await world.run('readlink /proc/self/ns/user; cat /proc/self/uid_map', {
      UsernsMode: `container:${first}`,
    })
    expect(output).toContain((await world.exec(first, 'readlink /proc/self/ns/user')).output)
    expect(output).toContain(String(world.engine.get(first).idRange?.start))
    await world.engine.remove(first, { force: true, volumes: false })
  })

  it('joins a container that has the host’s users', async () => {
    const first = await world.start('sleep 100', { NetworkMode: 'host' })
    const { output } = await world.run('readlink /proc/self/ns/user /proc/self/ns/net', {
      NetworkMode: `container:${first}`,
    })
    expect(output).toBe((await world.exec(first, 'readlink /proc/self/ns/user /proc/self/ns/net')).output)
    await world.engine.remove(first, { force: true, volumes: false })
  })

  it('goes without the container that it joined, and never joins another of its name', async () => {
    const first = await world.start('sleep 100')
    const name = world.engine.get(first).name
    const second = await world.start('sleep 100', { NetworkMode: `container:${name}` })
    expect(world.engine.get(second).hostConfig.NetworkMode).toBe(`container:${first}`)
    const third = await world.create('true', { NetworkMode: `container:${first}` })
    await world.engine.stop(first, { timeout: 0 })
    await expect(world.engine.start(third)).rejects.toMatchObject({
      code: 'HF_CONTAINER_NOT_RUNNING',
      hint: `Start ${name} first.`,
    })
    await world.engine.remove(third, { force: true, volumes: false })
    await world.engine.remove(first, { force: true, volumes: false })
    expect((await world.engine.namespaces()).map(({ container }) => container.id)).toContain(second)
    await world.engine.stop(second, { timeout: 0 })
    await expect(world.engine.start(second)).rejects.toThrow(`No such container: ${first}`)
    await world.engine.remove(second, { force: true, volumes: false })
  })

  it('needs as many ids as the image’s files have', async () => {
    const { output } = await world.run('cat /proc/self/uid_map', { UsernsMode: 'auto:size=131072' })
    expect(output.trim().split(/\s+/)[2]).toBe('131072')
  })

  it('takes a cgroup parent that was made for a container away with the last one in it, and no other', async () => {
    const parent = `/${world.engine.instance}-parent/deep`
    const above = join('/sys/fs/cgroup', existsSync('/sys/fs/cgroup/pids') ? 'pids' : '', dirname(parent))
    const host = { CgroupParent: parent }
    const [first, second] = [
      await world.start(['sleep', '1000'], host),
      await world.start(['sleep', '1000'], host),
    ]
    expect(existsSync(above)).toBe(true)
    await world.engine.remove(first, { force: true, volumes: false })
    expect(existsSync(above)).toBe(true)
    await world.engine.remove(second, { force: true, volumes: false })
    expect(existsSync(above)).toBe(false)
    mkdirSync(above)
    const third = await world.start(['true'], host)
    await world.exit(third)
    await world.engine.remove(third, { force: true, volumes: false })
    expect(readdirSync(above, { withFileTypes: true }).filter((entry) => entry.isDirectory())).toEqual([])
    rmdirSync(above)
  })

  it('runs many at once and loses none', async () => {
    const codes = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => world.run(`exit ${index}`, { NetworkMode: 'bridge' })),
    )
    expect(codes.map(({ code }) => code)).toEqual(Array.from({ length: 20 }, (_, index) => index))
  })
})

describe.skipIf(!isRoot)('an engine without a zygote', () => {
  it('starts each shim as a process of its own', async () => {
    await using plain = await EngineWorld.open({ plainShims: true })
    expect(await plain.run('echo plain; exit 6', { NetworkMode: 'bridge' })).toEqual({
      code: 6,
      output: 'plain\n',
    })
  })
})
