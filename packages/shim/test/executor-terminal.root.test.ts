import { execFile } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { closeFd, getWindowSize, pidfdSendSignal, setWindowSize, writeFd } from '@holdfast/core'
import type { Step } from '@holdfast/plan'
import { eventually } from '@holdfast/testkit'
import { adoptContainer } from '../src/launch/adopt.ts'
import type { AdoptionRecord } from '../src/launch/launched.ts'
import { ExecutorWorld, readable, readUntil } from './executor-world.ts'

const world = new ExecutorWorld()
afterAll(() => world[Symbol.asyncDispose]())

const console_: Step = { do: 'console', rows: 24, columns: 80, bind: true, uid: 0, gid: 0 }
const joined: Step[] = [
  {
    do: 'join-process',
    pidfd: 'pidfd',
    namespaces: ['user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'time'],
  },
  { do: 'become-root' },
  { do: 'clone', namespaces: [], keep: [] },
  { do: 'new-session' },
]
const pipes: Step = { do: 'stdio', stdin: 'stdin', stdout: 'stdout', stderr: 'stderr' }
const run = (...args: string[]): Step[] => [
  { do: 'door' },
  { do: 'exec', args, env: ['PATH=/bin'], init: false },
]

describe('a terminal', () => {
  it("is the container's own, controlling, and on /dev/console", async () => {
    const live = await world.create(
      world.plan({
        terminal: true,
        mounts: [console_],
        args: ['sh', '-c', 'tty; stat -c %t /dev/console; stty size; cat; echo end'],
      }),
    )
    const master = live.process.console!
    expect(getWindowSize(master)).toMatchObject({ rows: 24 })
    await live.process.door.open()
    const first = await readUntil(master, /24 80/)
    expect(first).toMatch(/^\/dev\/(pts\/0|console)\r\n88\r\n24 80\r\n/)
    writeFd(master, 'typed\n\x04')
    expect(await readUntil(master, /end/)).toMatch(/typed\r\ntyped\r\nend/)
    expect((await live.finish()).exitCode).toBe(0)
  })

  it('hands control characters and window sizes on', async () => {
    const live = await world.create(
      world.plan({
        terminal: true,
        mounts: [console_],
        init: true,
        args: [
          'sh',
          '-c',
          'trap "stty size" WINCH; trap "echo int; exit 3" INT; echo up; while :; do sleep 1 & wait $!; done',
        ],
      }),
    )
    const master = live.process.console!
    await live.process.door.open()
    await readUntil(master, /up/)
    setWindowSize(master, 50, 132)
    await readUntil(master, /50 132/)
    writeFd(master, '\x03')
    await readUntil(master, /int/)
    expect((await live.finish()).exitCode).toBe(3)
  })

  it('is had by exec too', async () => {
    const container = await world.create(world.plan({ args: ['sleep', '100'] }))
    await container.process.door.open()
    const exec = await world.exec(
      container.container,
      [...joined, { ...console_, bind: false } as Step, ...run('sh', '-c', 'tty; exit 4')],
      true,
    )
    await exec.process.door.open()
    expect(await readUntil(exec.process.console!, /pts/)).toBe('/dev/pts/0\r\n')
    expect((await exec.finish()).exitCode).toBe(4)
    container.kill(9)
    await container.finish()
  })
})

describe('exec', () => {
  it('enters every namespace, and is reaped without the container ending', async () => {
    const container = await world.create(
      world.plan({ args: ['sleep', '100'], mounts: [{ do: 'hostname', name: 'box' }] }),
    )
    await container.process.door.open()
    const exec = await world.exec(container.container, [
      ...joined,
      pipes,
      ...run('sh', '-c', 'echo $$; hostname; id -u; exit 9'),
    ])
    await exec.process.door.open()
    const { exitCode, output } = await exec.finish()
    expect({ exitCode, output }).toEqual({ exitCode: 9, output: '2\nbox\n0\n' })
    expect(existsSync(`/proc/${container.process.init.pid}`)).toBe(true)
    container.kill(9)
    await container.finish()
  })

  it('of a program that is not there says so, and of a container that ended fails', async () => {
    const container = await world.create(world.plan({ args: ['sleep', '100'] }))
    await container.process.door.open()
    const exec = await world.exec(container.container, [...joined, pipes, ...run('nope')])
    await expect(exec.process.door.open()).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect((await exec.finish()).exitCode).toBe(127)
    container.kill(9)
    await readable(container.process.keeper.pidfd)
    await expect(world.exec(container.container, [...joined, pipes, ...run('true')])).rejects.toMatchObject({
      code: expect.stringMatching(/ESRCH|EINVAL/),
    })
    await container.finish()
  })
})

describe('the reaping init', () => {
  it('stays as PID 1, reaps orphans, and ends as its program ends', async () => {
    const live = await world.create(
      world.plan({
        init: true,
        args: ['sh', '-c', '(sh -c "sleep 0.01 & exit 0"); usleep 100000; ps -o pid,stat,args; exit 5'],
      }),
    )
    await live.process.door.open()
    const { exitCode, output } = await live.finish()
    expect(exitCode).toBe(5)
    expect(output).toMatch(/^ +1 S[N<]? +holdfast: init/m)
    expect(output).not.toMatch(/ Z /)
  })

  it('hands signals on, and tells the one that killed its program', async () => {
    const caught = await world.create(
      world.plan({
        init: true,
        args: ['sh', '-c', 'trap "echo term; exit 6" TERM; echo up; while :; do usleep 1000; done'],
      }),
    )
    await caught.process.door.open()
    await caught.until(/up/)
    caught.kill(15)
    expect(await caught.finish()).toMatchObject({ exitCode: 6 })
    const killed = await world.create(
      world.plan({ init: true, args: ['sh', '-c', 'echo up; exec sleep 100'] }),
    )
    await killed.process.door.open()
    await killed.until(/up/)
    killed.kill(15)
    expect(await killed.finish()).toMatchObject({ exitCode: 143 })
  })

  it('says that its program is not there', async () => {
    const live = await world.create(world.plan({ init: true, args: ['nope'] }))
    await expect(live.process.door.open()).rejects.toMatchObject({ code: 'HF_COMMAND_NOT_FOUND' })
    expect((await live.finish()).exitCode).toBe(127)
  })
})

/** What a process says of the container that it launched before it killed itself. */
async function launchAndDie(entrust: boolean): Promise<AdoptionRecord> {
  const script = join(import.meta.dirname, 'executor-orphan.ts')
  const args = ['--conditions=@holdfast/source', script, world.rootfs, world.base]
  const env = { ...process.env, ENTRUST: entrust ? '1' : '0' }
  const end = await promisify(execFile)(process.execPath, args, { env }).catch(
    (error: { signal: string; stdout: string }) => error,
  )
  expect(end).toMatchObject({ signal: 'SIGKILL' })
  return JSON.parse(end.stdout) as AdoptionRecord
}

describe('the keeper', () => {
  it('ends with a shim that dies before it has written down whom to look for, and so does the container', async () => {
    const record = await launchAndDie(false)
    await eventually(() => {
      const { init, keeper } = adoptContainer(record)
      for (const each of [init, keeper]) if (each !== undefined) closeFd(each.pidfd)
      return init === undefined && keeper === undefined
    })
    rmSync(join(world.base, 'orphan'), { recursive: true })
  })

  it('says what it is, has no capability, takes little memory, and only SIGKILL ends it', async () => {
    const live = await world.create(world.plan({ args: ['sleep', '100'] }))
    await live.process.door.open()
    const { keeper } = live.process
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE', 'SIGUSR1'] as const)
      pidfdSendSignal(keeper.pidfd, signal)
    const status = readFileSync(`/proc/${keeper.pid}/status`, 'utf8')
    expect(readFileSync(`/proc/${keeper.pid}/cmdline`, 'utf8')).toBe('holdfast: keeper test\0')
    expect(status).toMatch(/^CapEff:\t0+$/m)
    const memory = readFileSync(`/proc/${keeper.pid}/smaps_rollup`, 'utf8')
    const kib = [...memory.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)].reduce(
      (sum, [, each]) => sum + Number(each),
      0,
    )
    // 44 to 52 KiB of pages here, as the kernel counts them: what matters is that no image of a program is kept.
    expect(kib).toBeLessThanOrEqual(96)
    live.kill(9)
    expect(await live.finish()).toMatchObject({ signal: 9 })
  })

  it('outlives the shim that launched it, lets another one in, and records the end', async () => {
    const record = await launchAndDie(true)
    // The launching process is dead by now; its container stands at its door.
    const adopted = adoptContainer(record)
    expect(adopted.init?.pid).toBe(record.initPid)
    expect(Object.keys(adopted.taken).sort()).toEqual(['console', 'spare'])
    await adopted.door!.open()
    expect(await readUntil(adopted.taken['console']!, /hello/)).toContain('hello')
    await readable(adopted.keeper!.pidfd)
    const file = join(world.base, 'orphan', 'exit.json')
    expect(JSON.parse(await eventually(() => readFileSync(file, 'utf8')))).toMatchObject({ exitCode: 8 })
    const { init, keeper, taken, namespaces, root } = adopted
    for (const fd of [
      init!.pidfd,
      keeper!.pidfd,
      ...Object.values(taken),
      ...Object.values(namespaces!),
      root!,
    ])
      closeFd(fd)
    expect(adoptContainer(record)).toMatchObject({ taken: {} })
  })
})
