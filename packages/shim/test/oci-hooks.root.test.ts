import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { spawn, type ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { eventually } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { receiveMessage, socketHandleFd, syscallNumber, closeFd } from '@holdfast/core'
import { exec } from './ask.ts'
import { World, type Running } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('hooks', () => {
  let world: World
  let script: string
  beforeAll(async () => {
    world = await World.open()
    script = join(world.root, 'hook.sh')
    writeFileSync(script, '#!/bin/sh\ncat > "$OUT.$1"\necho "$1 was here" >&2\nexit "${CODE:-0}"\n')
    chmodSync(script, 0o755)
  })
  afterAll(() => world.close())

  const hook = (name: string, extra: object = {}) => ({
    path: script,
    args: ['hook', name],
    env: [`OUT=${join(world.root, 'out')}`, 'PATH=/bin'],
    ...extra,
  })
  const state = (name: string) =>
    JSON.parse(readFileSync(join(world.root, `out.${name}`), 'utf8')) as Record<string, unknown>

  it('run at their moments, with the state on their standard input', async () => {
    const run = await world.run({
      args: ['sleep', '1000'],
      config: (config) => {
        config['annotations'] = { 'com.example': 'x' }
        config['hooks'] = { createRuntime: [hook('r')], poststart: [hook('s')], poststop: [hook('p')] }
      },
    })
    const { pid } = await run.client.request('create', {})
    expect(state('r')).toMatchObject({
      id: run.bundle.spec.id,
      status: 'creating',
      pid,
      bundle: run.dir,
      annotations: { 'com.example': 'x' },
    })
    expect(existsSync(join(world.root, 'out.s'))).toBe(false)
    await run.client.request('start', {})
    expect(state('s')).toMatchObject({ status: 'running', pid })
    await run.delete()
    expect(state('p')).toMatchObject({ status: 'stopped' })
  })

  it('run in the order of the specification, each kind as listed', async () => {
    const trace = join(world.root, 'trace')
    writeFileSync(trace, '')
    chmodSync(trace, 0o666)
    const note = (name: string) => ({
      path: '/bin/sh',
      args: ['sh', '-c', `echo ${name} $(sed 's/.*"status":"\\([a-z]*\\)".*/\\1/') >> ${trace}`],
      env: ['PATH=/bin:/usr/bin'],
    })
    const kinds = ['poststop', 'poststart', 'startContainer', 'createContainer', 'createRuntime', 'prestart']
    const run = await world.run({
      args: ['sleep', '1000'],
      config: (config) => {
        config['hooks'] = Object.fromEntries(
          kinds.map((kind) => [kind, [note(`${kind}1`), note(`${kind}2`)]]),
        )
        config['mounts'].push({ destination: world.root, source: world.root, options: ['bind'] })
      },
    })
    await run.createAndStart()
    await run.delete()
    expect(readFileSync(trace, 'utf8').trim().split('\n')).toEqual([
      'prestart1 creating',
      'prestart2 creating',
      'createRuntime1 creating',
      'createRuntime2 creating',
      'createContainer1 creating',
      'createContainer2 creating',
      'startContainer1 created',
      'startContainer2 created',
      'poststart1 running',
      'poststart2 running',
      'poststop1 stopped',
      'poststop2 stopped',
    ])
  })

  it('end a create when they fail, with what they said, and nothing is left', async () => {
    const run = await world.run({
      args: ['true'],
      config: (config) =>
        (config['hooks'] = {
          createRuntime: [hook('bad', { env: [`OUT=${join(world.root, 'out')}`, 'CODE=3', 'PATH=/bin'] })],
        }),
    })
    await expect(run.client.request('create', {})).rejects.toThrow(
      /createRuntime hook 0 .* ended with status 3: bad was here/,
    )
    expect(existsSync(`/sys/fs/cgroup/pids/hf-shim-test/${run.bundle.spec.id}`)).toBe(false)
    await run.delete()
  })

  it('are killed when they take too long', async () => {
    writeFileSync(join(world.root, 'slow.sh'), '#!/bin/sh\nsleep 1000\n', { mode: 0o755 })
    const run = await world.run({
      args: ['true'],
      config: (config) =>
        (config['hooks'] = { createRuntime: [{ path: join(world.root, 'slow.sh'), timeout: 1 }] }),
    })
    await expect(run.client.request('create', {})).rejects.toThrow('did not end within 1000 ms')
    await run.delete()
  })

  it('stop the container when they fail after its start, and the poststop hooks follow', async () => {
    const run = await world.run({
      args: ['sleep', '1000'],
      config: (config) =>
        (config['hooks'] = {
          poststart: [hook('s2', { env: [`OUT=${join(world.root, 'out')}`, 'CODE=4', 'PATH=/bin'] })],
          poststop: [{ path: '/nowhere' }, hook('p2')],
        }),
    })
    await run.client.request('create', {})
    await expect(run.client.request('start', {})).rejects.toThrow(
      /poststart hook 0 .* ended with status 4: s2 was here/,
    )
    expect((await run.client.request('state', {})).status).toBe('stopped')
    await run.delete()
    expect(state('p2')).toMatchObject({ status: 'stopped' })
    expect(readFileSync(join(run.dir, 'shim.log'), 'utf8')).toContain(
      'poststop hook 0 (/nowhere) could not be run',
    )
  })

  it('that follow a stop run after a failed create too, once any hook has run', async () => {
    const failing = { path: '/bin/false' }
    for (const kind of ['prestart', 'createRuntime', 'createContainer']) {
      const run = await world.run({
        args: ['true'],
        config: (config) => (config['hooks'] = { [kind]: [failing], poststop: [hook(`after-${kind}`)] }),
      })
      await expect(run.client.request('create', {})).rejects.toThrow(/hook/)
      expect(state(`after-${kind}`)).toMatchObject({ status: 'stopped' })
      await run.delete()
    }
  })

  it('of the start end the container when they fail', async () => {
    const run = await world.run({
      args: ['sleep', '1000'],
      config: (config) => (config['hooks'] = { startContainer: [{ path: '/bin/false' }] }),
    })
    await run.client.request('create', {})
    await expect(run.client.request('start', {})).rejects.toThrow(
      /error running hook '\/bin\/false: exit status 1'/,
    )
    expect((await run.client.request('state', {})).status).toBe('stopped')
    await run.delete()
  })

  it('of the start are filtered as the program is, and say what ended them', async () => {
    const run = await world.run({
      args: ['true'],
      config: (config) => {
        config['hooks'] = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'mkdir /tmp/by-hook'] }] }
        const syscalls = [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_KILL_PROCESS' }]
        config['linux'].seccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls }
      },
    })
    await run.client.request('create', {})
    await expect(run.client.request('start', {})).rejects.toThrow(
      /error running hook '\/bin\/sh: (signal: bad system call|exit status 159)'/,
    )
    await run.delete()
  })

  it('have nothing in their environment but what is theirs, and the bundle as working directory', async () => {
    const seen = join(world.root, 'seen')
    const script = `{ tr '\\0' '\\n' < /proc/$$/environ; pwd; } > ${seen}`
    const run = await world.run({
      args: ['true'],
      config: (config) =>
        (config['hooks'] = {
          createRuntime: [{ path: '/bin/busybox', args: ['sh', '-c', script], env: ['ONLY=this'] }],
        }),
    })
    await run.client.request('create', {})
    expect(readFileSync(seen, 'utf8')).toBe(`ONLY=this\n${run.dir}\n`)
    await run.delete()
  })

  it('run before the pivot where the root is mounted, and what they mount there is there', async () => {
    const marked = join(world.root, 'marked')
    writeFileSync(marked, 'marked\n')
    const enter = `nsenter -m -t $(sed 's/.*"pid":\\([0-9]*\\).*/\\1/')`
    const run = await world.run({
      args: ['sh', '-c', 'cat /etc/passwd /etc/group'],
      config: (config) =>
        (config['hooks'] = {
          createRuntime: [
            {
              path: '/bin/sh',
              args: ['sh', '-c', `${enter} mount --bind ${marked} ${world.rootfs}/etc/passwd`],
            },
          ],
          createContainer: [{ path: '/bin/sh', args: ['sh', '-c', `mount --bind ${marked} ./etc/group`] }],
        }),
    })
    await run.createAndStart()
    await run.event('exited')
    expect(run.log()).toBe('marked\nmarked\n')
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(world.rootfs)
    await run.delete()
  })
})

describe.skipIf(process.getuid?.() !== 0)('a configuration without a process', () => {
  let world: World
  beforeAll(async () => {
    world = await World.open()
  })
  afterAll(() => world.close())

  it('is created, and not started', async () => {
    const run = await world.run({ args: ['true'], config: (config) => delete config['process'] })
    await run.client.request('create', {})
    await expect(run.client.request('start', {})).rejects.toThrow('process is missing')
    expect((await run.client.request('state', {})).status).toBe('created')
    await run.delete()
  })
})

describe.skipIf(process.getuid?.() !== 0)('a seccomp listener', () => {
  const seccomp = (path: string) => ({
    defaultAction: 'SCMP_ACT_ALLOW',
    listenerPath: path,
    listenerMetadata: 'meta',
    syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_NOTIFY' }],
  })
  let world: World
  beforeAll(async () => {
    world = await World.open()
  })
  afterAll(() => world.close())

  it('is handed to the agent with the state', async () => {
    const path = join(world.root, 'agent.sock')
    const got = Promise.withResolvers<{ data: Buffer; fds: number[] }>()
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      const fd = socketHandleFd(socket)
      let message: { data: Buffer; fds: number[] } | undefined
      void eventually(() => (message = receiveMessage(fd, 65_536)) !== undefined)
        .then(
          () => got.resolve(message!),
          (error: unknown) => got.reject(error),
        )
        .finally(() => socket.destroy())
    }).listen(path)
    const run = await world.run({
      args: ['true'],
      config: (config) => (config['linux'].seccomp = seccomp(path)),
    })
    const { pid } = await run.client.request('create', {})
    const { data, fds } = await got.promise
    expect(JSON.parse(data.toString())).toMatchObject({
      fds: ['seccompFd'],
      pid,
      metadata: 'meta',
      state: { id: run.bundle.spec.id },
    })
    expect(fds).toHaveLength(1)
    fds.forEach(closeFd)
    server.close()
    await run.delete()
  })

  /** Lets everything go on that asks, and notes the numbers of the calls. Perl is in every Debian; ioctl(2) is not in Node. */
  const agent = `
    open(my $listener, '+<&=', 3); $| = 1;
    while (1) {
      my $asked = "\\0" x 80;
      ioctl($listener, 0xc0502100, $asked) or last;
      print unpack('l', substr($asked, 16, 4)), "\\n";
      my $answer = pack('QqlL', unpack('Q', $asked), 0, 0, 1);
      ioctl($listener, 0xc0182101, $answer);
    }`

  it('is handed over before the launcher itself waits for it, and for every exec too', async () => {
    const path = join(world.root, 'busy.sock')
    const asked: string[] = []
    const agents: ChildProcess[] = []
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      const fd = socketHandleFd(socket)
      let message: { data: Buffer; fds: number[] } | undefined
      void eventually(() => (message = receiveMessage(fd, 65_536)) !== undefined).then(() => {
        const child = spawn('perl', ['-e', agent], { stdio: ['ignore', 'pipe', 'inherit', message!.fds[0]!] })
        child.stdout!.on('data', (lines: Buffer) => asked.push(...lines.toString().trim().split('\n')))
        agents.push(child)
        message!.fds.forEach(closeFd)
        socket.destroy()
      })
    }).listen(path)
    const names = ['sendmsg', 'read', 'close', 'setresuid', 'capset', 'execve', 'mkdir', 'mkdirat']
    const run = await world.run({
      args: ['sleep', '1000'],
      config: (config) =>
        (config['linux'].seccomp = {
          ...seccomp(path),
          syscalls: [{ names, action: 'SCMP_ACT_NOTIFY' }],
        }),
    })
    await run.createAndStart()
    expect((await exec(run, 'e1', ['mkdir', '/tmp/by-exec'])).exitCode).toBe(0)
    expect(agents).toHaveLength(2)
    expect(asked).toContain(String(syscallNumber('execve')))
    const made = ['mkdir', 'mkdirat'].map((name) => String(syscallNumber(name))) // arm64 has but the second
    expect(asked.some((number) => made.includes(number))).toBe(true)
    await run.delete()
    for (const child of agents) child.kill()
    server.close()
  })

  it('that nobody waits for ends the create', async () => {
    const run: Running = await world.run({
      args: ['true'],
      config: (config) => (config['linux'].seccomp = seccomp(join(world.root, 'none.sock'))),
    })
    await expect(run.client.request('create', {})).rejects.toThrow('linux.seccomp.listenerPath')
    expect(existsSync(`/sys/fs/cgroup/pids/hf-shim-test/${run.bundle.spec.id}`)).toBe(false)
    await run.delete()
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
  })
})
