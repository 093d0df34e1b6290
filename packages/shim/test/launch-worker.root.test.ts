/** Launch workers: they may be killed at any moment, and there may be none. */
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '@holdfast/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { closeFd, connectUnix, watchFd } from '@holdfast/core'
import { receiveJson, sendJson, type DescriptorMessage } from '../src/worker/descriptor-message.ts'
import { exec } from './ask.ts'
import { World } from './world.ts'

let world: World

describe.skipIf(process.getuid?.() !== 0)('a launch worker', () => {
  beforeAll(async () => {
    world = await World.open()
  })
  afterAll(() => world.close())

  it('launches containers and execs, so that a keeper is its child and not the shim’s', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const { keeperPid } = await run.client.request('state', {})
    expect(parentOf(keeperPid)).toBe(workerPid())
    expect(await exec(run, 'one', ['echo', 'hello'])).toEqual({ output: 'hello\n', exitCode: 0 })
    await run.delete()
    expect(run.leftovers()).toEqual(['config.json', 'shim.json', 'shim.lock', 'shim.log', 'x-json.log'])
  })

  it('may be killed at any moment of a create, which succeeds all the same', async () => {
    for (const delay of [0, 1, 2, 4, 8, 12]) {
      const bundle = world.bundle({ args: ['sleep', '1000'] })
      const pid = workerPid()
      const forked = await world.zygote.fork({ dir: bundle.dir, create: true })
      await new Promise((resolve) => setTimeout(resolve, delay))
      process.kill(pid, 'SIGKILL')
      const run = await world.connect(bundle, forked.pid)
      await run.createAndStart()
      expect(await exec(run, 'one', ['echo', 'alive'])).toEqual({ output: 'alive\n', exitCode: 0 })
      await run.delete()
      expect(readFileSync(join(bundle.dir, 'shim.log'), 'utf8')).toBe('')
      await eventually(() => findWorker() !== undefined && findWorker() !== pid) // another takes its place
    }
  })

  it('tells of the network namespace as soon as there is one; of another only in the answer', async () => {
    const wait = { path: '/bin/sh', args: ['sh', '-c', 'sleep 0.3'] }
    const bundle = world.bundle({
      args: ['sleep', '1000'],
      config: (config) => (config['hooks'] = { createRuntime: [wait] }),
    })
    const forked = await world.zygote.fork({ dir: bundle.dir })
    const run = await world.connect(bundle, forked.pid)
    let made = false
    const creating = run.client.request('create', {}).finally(() => (made = true))
    const born = await run.client.netns
    expect(made).toBe(false)
    expect(statSync(`/proc/${forked.pid}/fd/${born.fd}`).ino).toBe(born.ino)
    process.kill(workerPid(), 'SIGKILL')
    const { namespaces, pid } = await creating
    expect(readlinkSync(`/proc/${pid}/ns/net`)).toBe(`net:[${namespaces.net?.ino}]`)
    expect(namespaces.net?.ino).not.toBe(born.ino)
    await run.delete()
  })

  it('takes an exec of a megabyte of environment, and says what is wrong with one that can’t be', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const env = Array.from({ length: 9 }, (_, index) => `V${index}=${'x'.repeat(100_000)}`)
    const { output } = await exec(run, 'big', ['sh', '-c', 'echo ${#V0} ${#V8}'], { env })
    expect(output).toBe('100000 100000\n')
    await expect(exec(run, 'none', ['no-such-program'])).rejects.toMatchObject({
      code: 'HF_COMMAND_NOT_FOUND',
      message: 'exec: "no-such-program": executable file not found in $PATH',
    })
    await expect(exec(run, 'who', ['true'], { user: 'nobody-here' })).rejects.toMatchObject({
      code: 'HF_COMMAND_NOT_EXECUTABLE',
    })
    await run.delete()
  })

  it('is not needed: without a zygote a shim launches by itself', async () => {
    const run = await world.run({ args: ['sleep', '1000'] })
    await run.createAndStart()
    const [zygote, worker] = [world.zygote.pid!, workerPid()]
    process.kill(zygote, 'SIGKILL')
    await eventually(() => !alive(worker))
    expect(await exec(run, 'alone', ['echo', 'alone'])).toEqual({ output: 'alone\n', exitCode: 0 })
    await run.delete()
    const next = await world.run({ args: ['true'] }) // by another zygote, with another worker
    await next.createAndStart()
    await next.delete()
  })

  it('refuses what a shim of another version asks', async () => {
    const socket = connectUnix(join(world.root, 'launch.sock'))
    sendJson(socket, { version: 0, job: 'clear' })
    await new Promise<void>((resolve) => {
      const watch = watchFd(socket, { readable: true }, () => {
        watch.close()
        resolve()
      })
    })
    const { body } = receiveJson(socket) as DescriptorMessage
    expect(body).toMatchObject({ error: { code: 'HF_PROTOCOL' } })
    closeFd(socket)
  })
})

function workerPid(): number {
  const pid = findWorker()
  if (pid === undefined) throw new Error('there is no launch worker')
  return pid
}

function findWorker(): number | undefined {
  const zygote = world.zygote.pid
  if (zygote === undefined) return undefined
  const children = readFileSync(`/proc/${zygote}/task/${zygote}/children`, 'latin1')
    .split(' ')
    .filter(Boolean)
  return children.map(Number).find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('worker'))
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])
}

function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}
