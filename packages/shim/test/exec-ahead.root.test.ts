/** What is launched before anybody asks for it: an exec that was created, and the launcher of the next one. */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { eventually } from '@holdfast/testkit'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ExecSpec } from '@holdfast/protocol'
import { exec, hasLetGo } from './ask.ts'
import { World, type Running } from './world.ts'

const spec = (args: string[], more: Partial<ExecSpec> = {}): ExecSpec => ({
  args,
  env: [],
  user: '',
  tty: false,
  stdin: false,
  privileged: false,
  ...more,
})

let world: World
let run: Running

const asRoot = describe.skipIf(process.getuid?.() !== 0)

async function processes(): Promise<number> {
  return (await run.client.request('processes', {})).pids.length
}

function keeperOf(execId: string): number {
  const { adoption } = JSON.parse(readFileSync(join(run.dir, `exec-${execId}.json`), 'utf8')) as {
    adoption: { keeperPid: number }
  }
  return adoption.keeperPid
}

function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    return children.split(' ').filter(Boolean).map(Number)
  } catch {
    return [] // it has ended meanwhile
  }
}

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1')
  } catch {
    return ''
  }
}

function namespaceOf(pid: number, type: 'mnt' | 'pid'): string {
  return readlinkSync(`/proc/${pid}/ns/${type}`)
}

function cgroupsOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cgroup`, 'latin1')
}

asRoot('an exec that was created', () => {
  beforeAll(async () => {
    world = await World.open()
  })
  beforeEach(async () => {
    run = await world.run({ args: ['sleep', '1000'], env: ['OWN=1'] })
    await run.createAndStart()
  })
  afterEach(async () => {
    await run.delete()
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
    expect(readFileSync(join(run.dir, 'shim.log'), 'utf8')).toBe('')
  })
  afterAll(() => world.close())

  /** Resolves when it is at its door; `over` when it waits there no longer. */
  async function prepare(execId: string, wanted: ExecSpec): Promise<{ pid: number; over: Promise<unknown> }> {
    const over = run.client.request('exec.prepare', { execId, spec: wanted })
    let pids: number[] = []
    await eventually(async () => (pids = (await run.client.request('processes', {})).pids).length === 2)
    return { pid: pids.find((pid) => pid !== run.client.hello.pid && !isSleep(pid))!, over }
  }

  const parentOf = (pid: number): number =>
    Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1])

  const isSleep = (pid: number): boolean => readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n'

  it('is launched already when it is started, and is the same process', async () => {
    const { pid, over } = await prepare('p', spec(['sh', '-c', 'echo $OWN; exit 7']))
    expect(
      (await run.client.request('exec.start', { execId: 'p', spec: spec(['sh', '-c', 'echo $OWN; exit 7']) }))
        .pid,
    ).toBe(pid)
    await over
    expect((await run.event('exec-exited')).exit.exitCode).toBe(7)
  })

  it('gives its output from the first byte on, and takes input', async () => {
    await prepare('p', spec(['cat'], { stdin: true }))
    expect(await exec(run, 'p', ['cat'], { input: 'through' })).toEqual({ output: 'through', exitCode: 0 })
  })

  it('is given up after a moment, leaves nothing, and can be started all the same', async () => {
    const { over } = await prepare('p', spec(['true']))
    await over
    await eventually(async () => (await processes()) === 1)
    expect(run.leftovers().filter((name) => name.includes('exec'))).toEqual([])
    expect(await exec(run, 'p', ['echo', 'late'])).toEqual({ output: 'late\n', exitCode: 0 })
  })

  it('is launched anew where it is started as another', async () => {
    await prepare('p', spec(['echo', 'one']))
    expect(await exec(run, 'p', ['echo', 'another'])).toEqual({ output: 'another\n', exitCode: 0 })
    await eventually(async () => (await processes()) === 1)
  })

  it('says at its start what is wrong with it', async () => {
    const prepareBad = (execId: string, more: Partial<ExecSpec>): void => {
      // Where the init fails before its birth is told of, this is answered with the error; nobody reads it.
      run.client.request('exec.prepare', { execId, spec: spec(['true'], more) }).catch(() => {})
    }
    prepareBad('p', { cwd: '/nowhere' })
    await expect(exec(run, 'p', ['true'], { cwd: '/nowhere' })).rejects.toMatchObject({
      code: 'HF_COMMAND_NOT_EXECUTABLE',
    })
    prepareBad('q', { user: 'nobody' })
    await expect(exec(run, 'q', ['true'], { user: 'nobody' })).rejects.toThrow('unable to find user nobody')
    await prepare('r', spec(['nowhere']))
    await expect(exec(run, 'r', ['nowhere'])).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect((await run.client.request('exec.state', { execId: 'r' })).exit?.exitCode).toBe(127)
  })

  it('is gone before its container is paused, which would freeze it', async () => {
    const { over } = await prepare('p', spec(['true']))
    await run.client.request('pause', {})
    await over
    expect(await processes()).toBe(1)
    await run.client.request('resume', {})
    expect((await exec(run, 'p', ['true'])).exitCode).toBe(0)
  })

  it('does not keep its container from ending', async () => {
    const { over } = await prepare('p', spec(['true']))
    const began = performance.now()
    await run.client.request('kill', { signal: 9 })
    await run.event('exited')
    await over
    expect(performance.now() - began).toBeLessThan(400) // it would wait for half a second
  })

  it('is told of at its end although its keeper was killed before it had read that it was entrusted', async () => {
    const { pid } = await prepare('p', spec(['sleep', '1000']))
    const keeper = parentOf(pid)
    process.kill(keeper, 'SIGSTOP')
    await run.client.request('exec.start', { execId: 'p', spec: spec(['sleep', '1000']) })
    process.kill(keeper, 'SIGKILL')
    await run.client.request('exec.kill', { execId: 'p', signal: 9 })
    const { exit } = await run.event('exec-exited')
    expect([137, null]).toContain(exit.exitCode) // null: a kernel before 6.15
  })

  it('is launched anew where its keeper was killed before it was started', async () => {
    const { pid } = await prepare('p', spec(['echo', 'again']))
    const keeper = parentOf(pid)
    process.kill(keeper, 'SIGKILL')
    await eventually(() => hasLetGo(keeper))
    expect(await exec(run, 'p', ['echo', 'again'])).toEqual({ output: 'again\n', exitCode: 0 })
    await eventually(async () => (await processes()) === 1)
  })

  it('ends with its shim', async () => {
    const { pid, over } = await prepare('p', spec(['true']))
    over.catch(() => {}) // it is never answered
    const lost = new Promise((resolve) => run.client.once('close', resolve))
    process.kill(run.shimPid, 'SIGKILL')
    await lost
    await eventually(() => !existsSync(`/proc/${pid}/exe`))
    run = await world.connect(run.bundle, (await world.zygote.fork({ dir: run.dir })).pid)
    expect((await run.client.request('state', {})).execs).toEqual([])
    expect((await exec(run, 'p', ['true'])).exitCode).toBe(0)
  })

  it('goes on without its shim from the moment when its door is open', async () => {
    await prepare('p', spec(['sleep', '1000']))
    const file = join(run.dir, 'exec-p.json')
    await eventually(() => existsSync(file))
    const before = readFileSync(file)
    const { pid } = await run.client.request('exec.start', { execId: 'p', spec: spec(['sleep', '1000']) })
    await eventually(() => !readFileSync(file, 'utf8').includes('prepared'))
    const lost = new Promise((resolve) => run.client.once('close', resolve))
    process.kill(run.shimPid, 'SIGKILL')
    await lost
    writeFileSync(file, before) // as a shim leaves it that is killed right then
    run = await world.connect(run.bundle, (await world.zygote.fork({ dir: run.dir })).pid)
    expect((await run.client.request('state', {})).execs).toMatchObject([{ id: 'p', pid, running: true }])
    await run.client.request('exec.kill', { execId: 'p', signal: 9 })
    expect((await run.event('exec-exited')).exit).toMatchObject({ exitCode: 137, signal: 9 })
  })

  it('has no terminal before it is started', async () => {
    const wanted = spec(['true'], { tty: true })
    expect(await run.client.request('exec.prepare', { execId: 'p', spec: wanted })).toEqual({})
    expect(await processes()).toBe(1)
  })

  it('is nothing that the agent of a filter hears of before it is started', async () => {
    let heard = 0
    const listenerPath = join(world.root, 'agent.sock')
    const agent = createServer((socket) => {
      heard++
      socket.on('error', () => {}).resume()
    }).listen(listenerPath)
    const syscalls = [{ names: ['swapon'], action: 'SCMP_ACT_NOTIFY' }]
    const other = await world.run({
      args: ['sleep', '1000'],
      config: (config) => {
        config['linux'].seccomp = { defaultAction: 'SCMP_ACT_ALLOW', listenerPath, syscalls }
      },
    })
    await other.createAndStart()
    await expect(
      other.client.request('exec.prepare', { execId: 'p', spec: spec(['true']) }),
    ).rejects.toMatchObject({ code: 'HF_CONTAINER_STATE' })
    await eventually(() => heard === 1)
    expect((await exec(other, 'p', ['true'])).exitCode).toBe(0)
    await eventually(() => heard === 2)
    await other.delete()
    agent.close()
  })
})

asRoot('the launcher of the next exec', () => {
  beforeAll(async () => {
    world = await World.open()
  })
  beforeEach(async () => {
    run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    await exec(run, 'first', ['true'])
    await exec(run, 'second', ['true'])
  })
  afterEach(async () => {
    await run.delete()
    await eventually(() => hasLetGo(run.shimPid))
    expect(readFileSync(join(run.dir, 'shim.log'), 'utf8')).toBe('')
  })
  afterAll(() => world.close())

  /** Keepers, children of the shim, of whom each has a child that waits for the word to begin. */
  function spares(): number[] {
    return childrenOf(run.shimPid).filter((keeper) => stageOf(keeper) !== undefined)
  }

  function stageOf(keeper: number): number | undefined {
    return childrenOf(keeper).find((pid) => commOf(pid) === 'holdfast: ahead\n')
  }

  async function spare(): Promise<number> {
    await eventually(() => spares().length === 1)
    return spares()[0]!
  }

  it('waits where execs follow each other, and serves the next of the kind, whatever that executes', async () => {
    const waiting = await spare()
    const stage = stageOf(waiting)!
    const { pid } = await run.client.request('state', {})
    expect(namespaceOf(stage, 'mnt')).toBe(namespaceOf(pid, 'mnt'))
    // Nobody in the container sees it.
    expect(await processes()).toBe(1)
    expect(namespaceOf(stage, 'pid')).toBe(namespaceOf(run.shimPid, 'pid'))
    expect(cgroupsOf(stage)).toBe(cgroupsOf(run.shimPid))
    const streams = { stdin: false, stdout: true, stderr: true }
    const { attachment } = await run.client.exec(
      'third',
      spec(['sh', '-c', 'echo $WORD; sleep 1000'], { env: ['WORD=given'] }),
      streams,
    )
    expect(keeperOf('third')).toBe(waiting)
    for await (const { data } of attachment!.output) {
      expect(data.toString()).toBe('given\n')
      break
    }
    await run.client.request('exec.kill', { execId: 'third', signal: 9 })
    await eventually(() => spares().length === 1 && spares()[0] !== waiting)
  })

  it('begins when it is known that an exec comes, and is told later what that executes', async () => {
    const waiting = await spare()
    const over = run.client.request('exec.prepare', { execId: 'third' })
    await eventually(async () => (await processes()) === 2)
    expect(await exec(run, 'third', ['echo', 'late'], { env: ['A=1'] })).toEqual({
      output: 'late\n',
      exitCode: 0,
    })
    expect(keeperOf('third')).toBe(waiting)
    await over
  })

  it('begins for nothing where what comes is of another kind, or too long', async () => {
    for (const [id, more] of [
      ['third', { cwd: '/tmp' }],
      ['fourth', { cwd: '/tmp', env: [`A=${'x'.repeat(70_000)}`] }],
    ] as const) {
      await spare()
      const over = run.client.request('exec.prepare', { execId: id })
      await eventually(async () => (await processes()) === 2)
      expect(await exec(run, id, ['pwd'], more)).toMatchObject({ exitCode: 0 })
      await over
      expect(await processes()).toBe(1)
    }
  })

  it('is not for one of another kind', async () => {
    const waiting = await spare()
    expect((await exec(run, 'third', ['pwd'], { cwd: '/tmp' })).output).toBe('/tmp\n')
    expect((await exec(run, 'fourth', ['id', '-un'], { user: 'web' })).output).toBe('web\n')
    expect((await exec(run, 'fifth', ['cat'], { input: 'in' })).output).toBe('in')
    expect(spares()).toContain(waiting)
  })

  it('may be killed, and so may who waits for it', async () => {
    process.kill(await spare(), 'SIGKILL')
    expect(await exec(run, 'third', ['echo', 'alive'])).toEqual({ output: 'alive\n', exitCode: 0 })
    process.kill(stageOf(await spare())!, 'SIGKILL')
    expect(await exec(run, 'fourth', ['echo', 'alive'])).toEqual({ output: 'alive\n', exitCode: 0 })
  })

  it('says what is wrong with what it executes', async () => {
    const waiting = await spare()
    await expect(exec(run, 'third', ['nowhere'])).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect(keeperOf('third')).toBe(waiting)
    await spare()
    await expect(exec(run, 'fourth', ['/etc'])).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_EXECUTABLE' })
  })

  it('ends where no exec follows', async () => {
    const waiting = await spare()
    await eventually(() => !existsSync(`/proc/${waiting}/exe`), 20_000)
    await eventually(() => spares().length === 0)
  })

  it('ends with its shim, of which the next knows the ends of all execs', async () => {
    const waiting = await spare()
    await expect(exec(run, 'third', ['sh', '-c', 'exit 5'])).resolves.toMatchObject({ exitCode: 5 })
    const lost = new Promise((resolve) => run.client.once('close', resolve))
    process.kill(run.shimPid, 'SIGKILL')
    await lost
    await eventually(() => !existsSync(`/proc/${waiting}/exe`))
    run = await world.connect(run.bundle, (await world.zygote.fork({ dir: run.dir })).pid)
    const { execs } = await run.client.request('state', {})
    expect(execs.map(({ id, exit }) => [id, exit?.exitCode])).toEqual([
      ['first', 0],
      ['second', 0],
      ['third', 5],
    ])
  })

  it('leaves files of the last execs alone', async () => {
    run.client.setMaxListeners(0)
    for (let count = 0; count < 35; count++) await exec(run, `n${count}`, ['true'])
    const files = (): string[] => readdirSync(run.dir).filter((name) => name.startsWith('exec-'))
    // Those of older ones go a moment after each end.
    await eventually(() => !files().includes('exec-n2.json'))
    expect(files().length).toBe(64)
    expect(files()).toContain('exec-n34.exit.json')
    expect(files()).not.toContain('exec-first.json')
  })
})
