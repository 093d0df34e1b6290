import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ExitRecord } from '@holdfast/protocol'
import { hasCode } from '@holdfast/errors'
import { connectShim } from '../../supervisor/src/shims/shim-client.ts'
import { collect, exec, hasLetGo } from './ask.ts'
import { World, type Running } from './world.ts'

describe.skipIf(process.getuid?.() !== 0)('a container whose shim was killed', () => {
  let world: World
  beforeAll(async () => {
    world = await World.open()
  })
  afterAll(() => world.close())

  /** SIGKILL, and a new shim for the same directory. */
  async function replaceShim(run: Running, whileGone?: () => Promise<void>): Promise<Running> {
    const lost = new Promise((resolve) => run.client.once('close', resolve))
    process.kill(run.shimPid, 'SIGKILL')
    await lost
    await whileGone?.()
    const { pid } = await world.zygote.fork({ dir: run.dir })
    return world.connect(run.bundle, pid)
  }

  it('runs on, and is known again', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const before = await run.client.request('state', {})
    const next = await replaceShim(run)
    const after = next.client.hello
    expect(after).toMatchObject({
      status: 'running',
      pid: before.pid,
      keeperPid: before.keeperPid,
      startedAt: before.startedAt,
    })
    expect(inodes(after)).toEqual(inodes(before))
    expect((await exec(next, 'e', ['echo', 'still here'])).output).toBe('still here\n')
    await next.client.request('pause', {})
    await next.client.request('resume', {})
    await next.client.request('kill', { signal: 9 })
    expect((await next.event('exited')).exit).toMatchObject({ exitCode: 137, signal: 9 })
    await next.delete()
    expect(next.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
  })

  it('gets neither SIGPIPE nor end of input, and its lines of the meantime are logged', async () => {
    const script = 'echo before; read a; echo got $a; echo between; read b; echo got $b; exit 6'
    const run = await world.run({ args: ['sh', '-c', script], stdin: { open: true, once: true } })
    await run.createAndStart()
    const first = await run.client.attach({ stdin: true, stdout: true })
    await eventually(() => run.log().includes('before'))
    await first.write(Buffer.from('one\n'))
    await eventually(() => run.log().includes('between'))
    const next = await replaceShim(run)
    const second = await next.client.attach({ stdin: true, stdout: true, logs: true })
    const text = collect(second)
    await second.write(Buffer.from('two\n'))
    expect((await next.event('exited')).exit.exitCode).toBe(6)
    expect((await text).toString()).toBe('before\ngot one\nbetween\ngot two\n')
    expect(next.log()).toBe('before\ngot one\nbetween\ngot two\n')
    await next.delete()
  })

  it('sees the end of its input after an adoption', async () => {
    const run = await world.run({ args: ['cat'], stdin: { open: true, once: true } })
    await run.createAndStart()
    const next = await replaceShim(await replaceShim(run))
    const client = await next.client.attach({ stdin: true, stdout: true })
    const text = collect(client)
    await client.write(Buffer.from('hello'))
    client.end()
    expect((await text).toString()).toBe('hello')
    expect((await next.event('exited')).exit.exitCode).toBe(0)
    await next.delete()
  })

  it('ends while nobody watches: its exit code and last lines are there', async () => {
    const run = await world.run({
      args: ['sh', '-c', 'sleep 0.3; echo last words; echo -n "no line end"; exit 42'],
    })
    await run.createAndStart()
    const { pid } = await run.client.request('state', {})
    const next = await replaceShim(run, () => eventually(() => !alive(pid)))
    expect(await end(next)).toMatchObject({ exitCode: 42, signal: null })
    expect(next.log()).toBe('last words\nno line end')
    await next.delete()
  })

  it('can still be started when it was only created', async () => {
    const run = await world.run({ args: ['echo', 'started'] })
    await run.client.request('create', {})
    const next = await replaceShim(run)
    expect(next.client.hello.status).toBe('created')
    await next.client.request('start', {})
    expect((await next.event('exited')).exit.exitCode).toBe(0)
    expect(next.log()).toBe('started\n')
    await next.delete()
  })

  /** As `replaceShim`, of one that was killed before it could write down what `action` had done. */
  async function replaceUnwritten(run: Running, action: () => Promise<unknown>): Promise<Running> {
    const before = readFileSync(join(run.dir, 'state.json'))
    await action()
    return replaceShim(run, async () => writeFileSync(join(run.dir, 'state.json'), before))
  }

  it('runs where its shim was killed over a door that was open already', async () => {
    const run = await world.run({ args: ['sh', '-c', 'echo once; sleep 1000'] })
    await run.client.request('create', {})
    const next = await replaceUnwritten(run, () => run.client.request('start', {}))
    expect(next.client.hello).toMatchObject({ status: 'running', startedAt: expect.any(String) })
    await expect(next.client.request('start', {})).rejects.toMatchObject({ code: 'HF_CONTAINER_RUNNING' })
    expect((await exec(next, 'e', ['echo', 'in'])).output).toBe('in\n')
    const third = await replaceShim(next)
    expect(third.client.hello.startedAt).toBe(next.client.hello.startedAt)
    await eventually(() => third.log() === 'once\n')
    await third.delete()
  })

  it('is paused, or is not, as it is with its cgroup', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const paused = await replaceUnwritten(run, () => run.client.request('pause', {}))
    expect(paused.client.hello.status).toBe('paused')
    const resumed = await replaceUnwritten(paused, () => paused.client.request('resume', {}))
    expect(resumed.client.hello.status).toBe('running')
    expect((await exec(resumed, 'e', ['echo', 'in'])).output).toBe('in\n')
    await resumed.delete()
  })

  it('keeps its terminal', async () => {
    const run = await world.run({
      args: ['sh', '-c', 'echo up; read a; echo got $a; stty size'],
      terminal: true,
      stdin: { open: true, once: false },
    })
    await run.createAndStart()
    await eventually(() => run.log().includes('up'))
    const next = await replaceShim(run)
    await next.client.request('resize', { rows: 33, columns: 77 })
    const client = await next.client.attach({ stdin: true, stdout: true })
    await client.write(Buffer.from('x\n'))
    await next.event('exited')
    expect(next.log()).toBe('up\r\nx\r\ngot x\r\n33 77\r\n')
    await next.delete()
  })

  it('keeps its execs and their exit codes', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const spec = {
      args: ['sh', '-c', 'sleep 2; exit 9'],
      env: [],
      user: '',
      tty: false,
      stdin: false,
      privileged: false,
    }
    await run.client.exec('x', spec)
    const next = await replaceShim(run)
    expect((await next.client.request('exec.state', { execId: 'x' })).running).toBe(true)
    const { exit } = await next.event('exec-exited')
    expect(exit.exitCode).toBe(9)
    await next.delete()
  })

  it('knows how an exec ended although its keeper was killed, and could not write it down', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const spec = { args: ['sleep', '1000'], env: [], user: '', tty: false, stdin: false, privileged: false }
    await run.client.exec('x', spec)
    const { adoption } = JSON.parse(readFileSync(join(run.dir, 'exec-x.json'), 'utf8')) as {
      adoption: { keeperPid: number }
    }
    process.kill(adoption.keeperPid, 'SIGKILL')
    await eventually(() => !alive(adoption.keeperPid))
    await run.client.request('exec.kill', { execId: 'x', signal: 9 })
    const { exit } = await run.event('exec-exited')
    const next = await replaceShim(run)
    expect((await next.client.request('exec.state', { execId: 'x' })).exit).toEqual(exit)
    await next.delete()
  })

  it('has each line in the log once, in order, whenever its shim is killed', async () => {
    const script = 'i=0; while [ $i -lt 300000 ]; do echo "line number $i of many"; i=$((i+1)); done'
    let run = await world.run({ args: ['sh', '-c', script] })
    await run.createAndStart()
    for (let kills = 0; kills < 25 && run.client.hello.status !== 'stopped'; kills++) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30))
      run = await replaceShim(run)
    }
    await end(run)
    expect(run.log()).toBe(Array.from({ length: 300_000 }, (_, n) => `line number ${n} of many\n`).join(''))
    await run.delete()
  })

  it('leaves no keeper with output that nobody can come for any more', async () => {
    const run = await world.run({ args: ['sh', '-c', 'sleep 3; echo last words'] })
    await run.createAndStart()
    const { keeperPid } = await run.client.request('state', {})
    const next = await replaceShim(run, async () => {
      await eventually(() => existsSync(join(run.dir, 'exit.json'))) // the last that the keeper writes
      const copy = `${run.dir}.copy`
      cpSync(run.dir, copy, { recursive: true, filter: (path) => !path.endsWith('.sock') })
      expect(alive(keeperPid)).toBe(true)
      rmSync(run.dir, { recursive: true })
      await eventually(() => !alive(keeperPid))
      renameSync(copy, run.dir) // for what else there is to take down
    })
    await next.delete()
  })

  it('asks the kernel how it ended where the keeper was killed too, and does not guess', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { pid, keeperPid } = await run.client.request('state', {})
    const next = await replaceShim(run, async () => {
      process.kill(keeperPid, 'SIGKILL')
      process.kill(pid, 'SIGKILL')
      await eventually(() => !alive(pid))
    })
    const { exitCode, signal } = await end(next)
    // The kernel knows as long as the zombie had not been reaped when the new shim came.
    expect([
      [137, 9],
      [null, null],
    ]).toContainEqual([exitCode, signal])
    await next.delete()
  })

  it('goes on without its keeper, under the same shim', async () => {
    const run = await world.run({
      args: ['sh', '-c', 'read a; echo got $a; exit 8'],
      stdin: { open: true, once: true },
    })
    await run.createAndStart()
    const { keeperPid } = await run.client.request('state', {})
    process.kill(keeperPid, 'SIGKILL')
    await eventually(() => !alive(keeperPid))
    const client = await run.client.attach({ stdin: true, stdout: true })
    const text = collect(client)
    await client.write(Buffer.from('it\n'))
    expect((await text).toString()).toBe('got it\n')
    const { exitCode } = await end(run)
    expect([8, null]).toContain(exitCode) // null: a kernel before 6.15
    await run.delete()
  })

  it('outlives the zygote, of which another is started when one is needed', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const ahead = () => childrenOf(world.zygote.pid!).filter((pid) => pid !== run.shimPid && alive(pid))
    await eventually(() => ahead().length > 0)
    const waiting = ahead()
    process.kill(world.zygote.pid!, 'SIGKILL')
    await eventually(() => !waiting.some(alive)) // those that had no directory yet
    expect((await exec(run, 'e', ['echo', 'hi'])).output).toBe('hi\n')
    const other = await world.run({ args: ['true'] })
    await other.createAndStart()
    await other.event('exited')
    await other.delete()
    await run.delete()
  })

  it('outlives a supervisor that is killed, and so does its shim', async () => {
    const bundle = world.bundle({ args: ['sh', '-c', 'echo up; exec sleep 1000'] })
    const script = new URL('./fake-supervisor.ts', import.meta.url).pathname
    const supervisor = spawn(
      process.execPath,
      ['--conditions=@holdfast/source', script, bundle.dir, bundle.spec.token],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const pids = JSON.parse(String((await once(supervisor.stdout, 'data'))[0])) as {
      zygote: number
      shim: number
      pid: number
    }
    supervisor.kill('SIGKILL')
    await eventually(() => !alive(pids.zygote))
    const run = await world.connect(bundle, pids.shim)
    expect(run.client.hello).toMatchObject({ status: 'running', pid: pids.pid, shimPid: pids.shim })
    expect((await exec(run, 'e', ['echo', 'still here'])).output).toBe('still here\n')
    await run.delete()
  })

  it('can be created again when the shim was killed at any moment of create', async () => {
    for (let round = 0; round < 12; round++) {
      const run = await world.run({ args: ['echo', 'made'] })
      const creating = run.client.request('create', {}).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, round))
      const next = await replaceShim(run)
      await creating
      if (next.client.hello.status === 'creating') await next.client.request('create', {})
      try {
        await next.client.request('start', {})
        expect((await next.event('exited')).exit.exitCode).toBe(0)
        await eventually(() => next.log() === 'made\n')
      } catch (error) {
        // Killed between writing down what it had made and letting go of it: that died with the shim, and says so.
        if (!hasCode(error, 'HF_CONTAINER_STATE', 'HF_CONTAINER_NOT_RUNNING')) throw error
        await eventually(async () => (await next.client.request('state', {})).status === 'stopped')
      }
      await next.delete()
    }
  })

  it('is not brought back by a shim that waited for its directory while it was deleted', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { pid } = await world.zygote.fork({ dir: run.dir }) // waits for the lock for a second
    await run.delete()
    await eventually(() => !alive(pid) && hasLetGo(run.shimPid))
    expect(run.leftovers()).not.toContain('shim.sock')
  })

  it('is waited for where it listens and is slow to answer', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    process.kill(run.shimPid, 'SIGSTOP')
    const { dir, spec } = run.bundle
    const found = connectShim({ dir, token: spec.token, deadlineMs: 20 })
    found.catch(() => {}) // awaited below
    await new Promise((resolve) => setTimeout(resolve, 200)) // much longer than a shim may take to listen
    process.kill(run.shimPid, 'SIGCONT')
    expect((await found).hello.shimPid).toBe(run.shimPid)
    await run.delete()
  })

  it('has one shim: a second one for the same directory ends by itself', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { pid } = await world.zygote.fork({ dir: run.dir })
    await eventually(() => !alive(pid))
    expect(readFileSync(`${run.dir}/shim.log`, 'utf8')).toContain('has a shim already')
    expect((await run.client.request('state', {})).status).toBe('running')
    await run.delete()
  })
})

/** Of a container that may have ended before we connected. */
async function end(run: Running): Promise<ExitRecord> {
  return (await run.client.request('state', {})).exit ?? (await run.event('exited')).exit
}

function inodes(state: {
  namespaces: Record<string, { ino: number } | undefined>
}): Record<string, number | undefined> {
  return Object.fromEntries(Object.entries(state.namespaces).map(([type, handle]) => [type, handle?.ino]))
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
}

/** Not a zombie either. */
function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
