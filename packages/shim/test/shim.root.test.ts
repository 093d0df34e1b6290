import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { streamWindow } from '@holdfast/protocol'
import { collect, exec, hasLetGo } from './ask.ts'
import { World } from './world.ts'

const modes = ['fork', 'plain'] as const
describe.skipIf(process.getuid?.() !== 0).each(modes)('a shim started by %s', (mode) => {
  let world: World
  beforeAll(async () => {
    world = await World.open({ mode })
  })
  afterAll(() => world.close())

  it('runs a program, logs both streams and reports how it ended', async () => {
    const run = await world.run({ args: ['sh', '-c', 'echo out; echo err >&2; exit 3'] })
    await run.createAndStart()
    const { exit } = await run.event('exited')
    expect(exit).toMatchObject({ exitCode: 3, signal: null, oomKilled: false })
    expect(run.log()).toContain('out\n')
    expect(run.log()).toContain('err\n')
    expect(run.events.map((each) => each.event)).toEqual(['created', 'started', 'exited'])
    await run.delete()
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
  })

  it('says who killed it', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    await run.client.request('kill', { signal: 15 })
    await run.client.request('kill', { signal: 9 })
    expect((await run.event('exited')).exit).toMatchObject({ exitCode: 137, signal: 9 })
    await run.delete()
  })

  it('gives stdin to the program, with its end, and output to everyone attached', async () => {
    const run = await world.run({ args: ['cat'], stdin: { open: true, once: true } })
    const one = await run.client.attach({ stdin: true, stdout: true, stderr: true })
    const two = await run.client.attach({ stdout: true })
    const big = Buffer.alloc(3 << 20, 'abcdefghij\n')
    const texts = [collect(one), collect(two)]
    await run.createAndStart()
    await one.write(big)
    one.end()
    for (const text of await Promise.all(texts)) expect(text.equals(big)).toBe(true)
    expect((await run.event('exited')).exit.exitCode).toBe(0)
    await run.delete()
  })

  it('leaves stdin open when a client goes, unless it is for one client only', async () => {
    const run = await world.run({
      args: ['sh', '-c', 'read a; read b; echo $a $b'],
      stdin: { open: true, once: false },
    })
    await run.createAndStart()
    const first = await run.client.attach({ stdin: true })
    await first.write(Buffer.from('one\n'))
    first.end()
    first.close()
    await first.closed
    const second = await run.client.attach({ stdin: true })
    await second.write(Buffer.from('two\n'))
    await run.event('exited')
    expect(run.log()).toBe('one two\n')
    await run.delete()
  })

  it('replays the log and goes on live without a gap or a repeat', async () => {
    const script =
      'i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; read go; echo -n partial; read go; echo " end"'
    const run = await world.run({ args: ['sh', '-c', script], stdin: { open: true, once: false } })
    await run.createAndStart()
    const stdin = await run.client.attach({ stdin: true, stdout: true })
    const live = collect(stdin)
    await eventually(() => run.log().includes('line 2999'))
    const early = collect(await run.client.attach({ stdout: true, logs: true }))
    await stdin.write(Buffer.from('go\n'))
    const text = await run.client.attach({ stdout: true, logs: true })
    const late = collect(text)
    await stdin.write(Buffer.from('go\n'))
    const expected = Array.from({ length: 3000 }, (_, n) => `line ${n}\n`).join('') + 'partial end\n'
    expect((await early).toString()).toBe(expected)
    expect((await late).toString()).toBe(expected)
    await live
    const after = await run.client.attach({ stdout: true, logs: true })
    expect((await collect(after)).toString()).toBe(expected)
    await run.delete()
  })

  it('never lets a slow client hold up the container or the others', async () => {
    const run = await world.run({
      args: ['sh', '-c', `read go; yes ${'0123456789'.repeat(20)} | head -c 30000000`],
      stdin: { open: true, once: false },
    })
    await run.createAndStart()
    const slow = await run.client.attach({ stdin: true, stdout: true })
    const fast = await run.client.attach({ stdout: true })
    const quick = collect(fast)
    await slow.write(Buffer.from('go\n')) // and doesn't read until the container is gone
    await run.event('exited')
    expect((await quick).length).toBe(30_000_000)
    expect((await collect(slow)).length).toBe(30_000_000) // caught up from the log
    await run.delete()
  })

  it('stays for a client that still reads when its container has been taken down', async () => {
    const run = await world.run({
      args: ['sh', '-c', `read go; yes ${'0123456789'.repeat(20)} | head -c 30000000`],
      stdin: { open: true, once: false },
    })
    await run.createAndStart()
    const gone = new Promise((resolve) => run.client.once('close', resolve))
    const slow = await run.client.attach({ stdin: true, stdout: true })
    await slow.write(Buffer.from('go\n'))
    await run.event('exited')
    await run.client.request('delete', { force: true })
    await run.client.unmounted // nobody has to wait for the client: the next run may begin
    expect((await collect(slow)).length).toBe(30_000_000)
    await gone
  })

  it('answers requests while a client reads nothing', async () => {
    const script = `yes ${'0123456789'.repeat(20)} | head -c 8000000; echo; echo done; sleep 1000`
    const run = await world.run({ args: ['sh', '-c', script] })
    await run.client.request('create', {})
    const idle = await run.client.attach({ stdout: true }) // more is on its way than it has room for
    await run.client.request('start', {})
    await eventually(() => readFileSync(join(run.dir, 'x-json.log'), 'utf8').includes('{"log":"done\\n"'))
    expect((await run.client.request('state', {})).status).toBe('running')
    expect(await exec(run, 'beside', ['echo', 'passed by'])).toEqual({ output: 'passed by\n', exitCode: 0 })
    idle.close() // or the shim stays until it has read the rest
    await run.delete()
  })

  it('takes as much input as it has made room for, and no more than that', async () => {
    const run = await world.run({ args: ['sleep', '1000'], stdin: { open: true, once: false } })
    await run.createAndStart()
    const client = await run.client.attach({ stdin: true })
    const pipe = 65_536
    let taken = false
    void client.write(Buffer.alloc(2 * streamWindow + pipe)).then(
      () => (taken = true),
      () => {},
    )
    expect((await run.client.request('state', {})).status).toBe('running') // it waits in its channel alone
    expect(taken).toBe(false)
    await run.delete()
  })

  it.each([
    ['its place in the log was rotated away', { driver: 'json-file', maxSize: 100_000, maxFile: 1 } as const],
    ['there is no log to catch up from', { driver: 'none' } as const],
  ])('gives up a client that lags where %s', async (_where, log) => {
    const run = await world.run({
      args: ['sh', '-c', `read go; yes ${'0123456789'.repeat(20)} | head -c 30000000`],
      log: log.driver === 'none' ? log : { ...log, path: join(world.root, 'small.log') },
      stdin: { open: true, once: false },
    })
    await run.createAndStart()
    const slow = await run.client.attach({ stdin: true, stdout: true })
    await slow.write(Buffer.from('go\n'))
    await run.event('exited')
    await expect(collect(slow)).rejects.toMatchObject({ code: 'HF_SHIM_LOST' })
    expect(await slow.closed).toEqual({ lagged: true })
    await run.delete()
  })

  it('runs a program on a terminal that can be resized', async () => {
    const script = 'tty; stty size; read x; stty size; echo got $x; exit 4'
    const run = await world.run({
      args: ['sh', '-c', script],
      terminal: true,
      stdin: { open: true, once: false },
    })
    await run.client.request('create', {})
    await run.client.request('resize', { rows: 30, columns: 100 })
    const client = await run.client.attach({ stdin: true, stdout: true })
    const text = collect(client)
    await run.client.request('start', {})
    await eventually(() => run.log().includes('30 100'))
    await run.client.request('resize', { rows: 40, columns: 120 })
    await client.write(Buffer.from('typed\n'))
    expect((await run.event('exited')).exit.exitCode).toBe(4)
    expect((await text).toString()).toBe('/dev/pts/0\r\n30 100\r\ntyped\r\n40 120\r\ngot typed\r\n')
    expect(run.log()).toBe((await text).toString())
    await run.delete()
  })

  it('tells a command that is not there from one that cannot be run', async () => {
    const missing = await world.run({ args: ['nowhere'] })
    await missing.client.request('create', {})
    await expect(missing.client.request('start', {})).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect((await missing.event('exited')).exit.exitCode).toBe(127)
    await missing.delete()
    const directory = await world.run({ args: ['/etc'] })
    await directory.client.request('create', {})
    await expect(directory.client.request('start', {})).rejects.toMatchObject({
      code: 'HF_COMMAND_NOT_EXECUTABLE',
    })
    expect((await directory.event('exited')).exit.exitCode).toBe(126)
    await directory.delete()
  })

  it('pauses everything, refuses exec meanwhile, and resumes', async () => {
    const run = await world.run({ args: ['sh', '-c', 'while :; do echo tick; sleep 0.01; done'] })
    await run.createAndStart()
    await run.client.request('pause', {})
    await expect(exec(run, 'e', ['true'])).rejects.toMatchObject({ code: 'HF_CONTAINER_PAUSED' })
    await expect(run.client.request('pause', {})).rejects.toMatchObject({ code: 'HF_CONTAINER_PAUSED' })
    expect((await run.client.request('state', {})).status).toBe('paused')
    const before = run.log().length + 1000 // more than the pipe may still have held
    await run.client.request('resume', {})
    await eventually(() => run.log().length > before)
    await run.client.request('pause', {})
    await run.delete() // of a paused one
  })

  it('executes more programs, as the user and in the directory that were asked for', async () => {
    const run = await world.run({ args: ['sleep', '1000'], env: ['OWN=1'] })
    await run.createAndStart()
    const result = await exec(run, 'e1', ['sh', '-c', 'id; pwd; echo $OWN $MORE $HOME; cat; exit 5'], {
      user: 'web',
      cwd: '/tmp',
      env: ['MORE=2'],
      input: 'input',
    })
    expect(result.output).toBe('uid=33(web) gid=34(www) groups=4(adm),34(www)\n/tmp\n1 2 /srv/www\ninput')
    expect(result.exitCode).toBe(5)
    expect((await run.client.request('exec.state', { execId: 'e1' })).exit?.exitCode).toBe(5)
    // A name alone takes the container's variable away; nothing at all is nothing.
    expect((await exec(run, 'unset', ['sh', '-c', 'echo ${OWN-gone}'], { env: ['OWN', ''] })).output).toBe(
      'gone\n',
    )
    await expect(exec(run, 'e2', ['true'], { user: 'nobody' })).rejects.toThrow('unable to find user nobody')
    await expect(exec(run, 'e3', ['nowhere'])).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect((await run.client.request('exec.state', { execId: 'e3' })).exit?.exitCode).toBe(127)
    await run.delete()
  })

  it('executes on a terminal', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { output } = await exec(run, 't', ['sh', '-c', 'stty size; echo $TERM'], {
      tty: true,
      consoleSize: [25, 81],
    })
    expect(output).toBe('25 81\r\nxterm\r\n')
    await run.delete()
  })

  it('ends an exec although something that it left behind goes on writing', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const script = '(while :; do echo more; sleep 0.01; done) & echo first; exit 3'
    const { output, exitCode } = await exec(run, 'left', ['sh', '-c', script])
    expect(exitCode).toBe(3)
    expect(output).toContain('first')
    const { pids } = await run.client.request('processes', {})
    expect(pids.length).toBeGreaterThan(1) // and no SIGPIPE ended it
    await run.delete()
  })

  it('ends an exec with its container', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const running = exec(run, 'long', ['sleep', '1000'])
    await eventually(async () => {
      const { pids } = await run.client.request('processes', {})
      return pids.length === 2 && pids.every((pid) => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n')
    })
    await run.client.request('kill', { signal: 9 })
    await run.event('exited')
    expect((await running).exitCode).toBe(137)
    await run.delete()
  })

  it('tells that the kernel killed it for want of memory', async () => {
    const limit = 16 << 20
    const run = await world.run({
      args: ['tail', '/dev/zero'],
      config: (config) => (config['linux'].resources.memory = { limit, swap: limit }),
    })
    await run.createAndStart()
    expect((await run.event('exited')).exit).toMatchObject({ exitCode: 137, signal: 9, oomKilled: true })
    expect(run.events.map((each) => each.event)).toEqual(['created', 'started', 'oom', 'exited'])
    await run.delete()
  })

  it('leaves no process and no cgroup, forced or not', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { pid, keeperPid } = await run.client.request('state', {})
    await expect(run.client.request('delete', { force: false })).rejects.toMatchObject({
      code: 'HF_CONTAINER_RUNNING',
    })
    await run.delete()
    for (const each of [pid, keeperPid]) expect(existsSync(`/proc/${each}/exe`)).toBe(false)
    await eventually(() => hasLetGo(run.shimPid))
    expect(existsSync(`/sys/fs/cgroup/pids/hf-shim-test/${run.bundle.spec.id}`)).toBe(false)
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
    expect(readFileSync(`${run.dir}/shim.log`, 'utf8')).toBe('')
  })

  it('goes from one container to the next with nothing of the first', async () => {
    const first = await world.run({ args: ['echo', 'one'] })
    await first.createAndStart()
    await first.event('exited')
    const { shimPid } = first
    await first.delete()
    await eventually(() => hasLetGo(shimPid))
    if (!existsSync(`/proc/${shimPid}/exe`)) return // a process of its own ends with its container
    const before = readdirSync(`/proc/${shimPid}/fd`)
    const second = await world.run({ args: ['echo', 'two'] })
    await second.createAndStart()
    expect((await second.event('exited')).exit.exitCode).toBe(0)
    await eventually(() => second.log() === 'two\n')
    expect(second.shimPid).toBe(shimPid)
    await second.delete()
    await eventually(() => hasLetGo(shimPid))
    expect(readdirSync(`/proc/${shimPid}/fd`)).toEqual(before)
  })

  it('refuses a bad configuration, naming the field, and leaves nothing', async () => {
    const run = await world.run({
      args: ['true'],
      config: (config) => (config['linux'].namespaces[0].type = 'nonsense'),
    })
    await expect(run.client.request('create', {})).rejects.toMatchObject({ code: 'HF_INVALID_CONFIG' })
    await run.delete()
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
  })
})
