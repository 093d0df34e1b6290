import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import type { Step } from '@holdfast/plan'
import { eventually } from '@holdfast/testkit'
import { ExecutorWorld, type Live } from './executor-world.ts'

const world = new ExecutorWorld()
afterAll(() => world[Symbol.asyncDispose]())

function exec(
  container: Live,
  parts: { first?: Step[]; args: string[]; hostUsers?: boolean },
): Promise<Live> {
  const { hostUsers = false } = parts
  return world.exec(container.container, [
    { do: 'join-process', pidfd: 'pidfd', namespaces: ['time'] },
    ...(parts.first ?? []),
    {
      do: 'join-process',
      pidfd: 'pidfd',
      namespaces: [...(hostUsers ? [] : (['user'] as const)), ...others],
    },
    ...(hostUsers ? [] : [{ do: 'become-root' } as const]),
    { do: 'clone', namespaces: [], keep: [] },
    { do: 'new-session' },
    { do: 'stdio', stdin: 'stdin', stdout: 'stdout', stderr: 'stderr' },
    { do: 'door' },
    { do: 'exec', args: parts.args, env: ['PATH=/bin'], init: false },
  ])
}

const others = ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'] as const

/** Stacks of stages that lie in a keeper's memory: each is a MiB that may be written, and neighbours are one mapping. */
function stacks(keeper: number): number {
  const maps = readFileSync(`/proc/${keeper}/maps`, 'utf8').trim().split('\n')
  const sizes = maps.map((line) => {
    const [, from = '', to = '', mode] = /^(\w+)-(\w+) (....)/.exec(line) ?? []
    return mode === 'rw-p' ? parseInt(to, 16) - parseInt(from, 16) : 0
  })
  return sizes.reduce((count, size) => count + (size >> 20), 0)
}

async function sleeper(): Promise<Live> {
  const container = await world.create(world.plan({ args: ['sleep', '100'] }))
  await container.process.door.open()
  return container
}

async function end(container: Live): Promise<void> {
  container.kill(9)
  await container.finish()
}

describe('memory that the stages of a launch share', () => {
  it("is the keeper's alone once the program was executed", async () => {
    const container = await sleeper()
    const live = await exec(container, { args: ['sleep', '100'] })
    const keeper = live.process.keeper.pid
    expect(stacks(keeper)).toBeGreaterThan(0) // the init at its door stands on one
    await live.process.door.open()
    await eventually(() => expect(stacks(keeper)).toBe(0))
    expect(stacks(container.process.keeper.pid)).toBe(0)
    live.kill(9)
    await live.finish()
    await end(container)
  })

  it("is not the init's in the host's user namespace, where a capability of the container's reaches it", async () => {
    const container = await sleeper()
    const own = await exec(container, { args: ['true'] })
    const hosts = await exec(container, { args: ['true'], hostUsers: true })
    expect(stacks(own.process.keeper.pid)).toBe(2)
    expect(stacks(hosts.process.keeper.pid)).toBe(1) // stage one's, which nobody in the container sees
    for (const live of [own, hosts]) {
      await live.process.door.open()
      expect((await live.finish()).exitCode).toBe(0)
    }
    await end(container)
  })

  it('is closed to a root of the container with every capability', async () => {
    const container = await sleeper()
    const standing = await exec(container, { args: ['true'] })
    const files = ['mem', 'maps', 'environ', 'fd/', 'exe']
    const look = files.map((file) => `cat /proc/2/${file} >/dev/null || ls /proc/2/${file} >/dev/null`)
    const script = `cat /proc/2/comm /proc/1/maps | head -n 2; ${look.join('; ')}`
    const visitor = await exec(container, { args: ['sh', '-c', `${script}; exit 0`] })
    await visitor.process.door.open()
    const { output } = await visitor.finish()
    expect(output).toMatch(/^holdfast: init\n[0-9a-f]+-/) // the one at the door; and a program's memory can be read
    const refused = output.split('\n').filter((line) => /\/proc\/2\/.*(denied|not permitted)/i.test(line))
    expect(refused.length).toBeGreaterThanOrEqual(files.length)
    await standing.process.door.open()
    expect((await standing.finish()).exitCode).toBe(0)
    await end(container)
  })

  it('is not shared where oom_score_adj changes, which would be everybody’s', async () => {
    const container = await sleeper()
    const first: Step[] = [{ do: 'oom-score-adj', value: 321 }]
    const live = await exec(container, { first, args: ['cat', '/proc/self/oom_score_adj'] })
    const keeper = live.process.keeper.pid
    expect(stacks(keeper)).toBe(0)
    expect(readFileSync(`/proc/${keeper}/oom_score_adj`, 'utf8')).not.toBe('321\n')
    await live.process.door.open()
    expect((await live.finish()).output).toBe('321\n')
    await end(container)
  })

  it("leaves the record of a program that is killed at its door, and of one that can't be executed", async () => {
    const container = await sleeper()
    const killed = await exec(container, { args: ['true'] })
    killed.process.door.entrust()
    killed.kill(9)
    expect(await killed.finish()).toMatchObject({ exitCode: 137, signal: 9 })
    const missing = await exec(container, { args: ['nope'] })
    await expect(missing.process.door.open()).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect((await missing.finish()).exitCode).toBe(127)
    await end(container)
  })
})
