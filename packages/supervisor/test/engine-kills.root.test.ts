/// <reference lib="esnext.disposable" />
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  busyboxTar,
  eventually,
  processesIn,
  processTitle,
  temporaryDirectory,
  TestSupervisor,
} from '@holdfast/testkit'

const isRoot = process.getuid?.() === 0
const containers = 8

/** How long after the storm began the supervisor is killed: while containers are made, started, ended, removed. */
const moments = [40, 150, 400]

interface Listed {
  Id: string
  State: string
}

describe.skipIf(!isRoot)('kills while containers start and stop', () => {
  it(
    'leave each container made, run to its end, or gone, and nothing else',
    { timeout: 180_000 },
    async () => {
      const root = await storms()
      await eventually(() => {
        expect(processesIn(root)).toEqual([])
        return true
      })
    },
  )
})

/** Returns the directory of a supervisor that went through them, and is gone with all that it had. */
async function storms(): Promise<string> {
  await using supervisor = await TestSupervisor.start()
  using scratch = temporaryDirectory()
  const tar = busyboxTar(scratch.path)
  await supervisor.request('POST', '/images/create?fromSrc=-&repo=busybox&tag=latest', tar)
  for (const [round, moment] of moments.entries()) {
    await run(supervisor, `warm${round}`, 0) // the zygote is up from here on
    const storm = Promise.allSettled(
      Array.from({ length: containers }, (_, index) => run(supervisor, `r${round}x${index}`, index)),
    )
    await sleep(moment)
    for (const pid of shimsOf(supervisor).filter((_, index) => index % 2 === 0)) kill(pid)
    await supervisor.stop('SIGKILL')
    await storm // what was under way has failed
    await supervisor.start()
    await checkAll(supervisor)
  }
  return supervisor.root
}

/** Creates, starts, and with some removes. Rejects when the connection breaks. */
async function run(supervisor: TestSupervisor, name: string, index: number): Promise<void> {
  const body = {
    Image: 'busybox',
    Cmd: ['sh', '-c', `sleep 0.0${index}; echo x${index}; exit ${index}`],
    HostConfig: { AutoRemove: index % 4 === 1, PortBindings: index % 3 === 0 ? { '80/tcp': [{}] } : {} },
  }
  const { status, json, text } = await supervisor.request('POST', `/containers/create?name=${name}`, body)
  if (status !== 201) throw new Error(text)
  await supervisor.request('POST', `/containers/${(json as Listed).Id}/start`)
  if (index % 4 === 2) await supervisor.request('DELETE', `/containers/${(json as Listed).Id}?force=1`)
}

/** Every container that is left is as made, or has ended with its own code and its line in the log. */
async function checkAll(supervisor: TestSupervisor): Promise<void> {
  const list = async (): Promise<Listed[]> =>
    (await supervisor.request('GET', '/containers/json?all=1')).json as Listed[]
  await eventually(async () => (await list()).every(({ State }) => State !== 'running'), 60_000)
  for (const { Id, State } of await list()) {
    const { json } = await supervisor.request('GET', `/containers/${Id}/json`)
    if (State === 'exited') {
      const code = Number(/exit (\d+)/.exec(String(json.Args[1]))?.[1])
      // A forced removal that was cut short may have killed it already.
      if (code % 4 === 2 && json.State.ExitCode === 137) continue
      expect(json.State).toMatchObject({ ExitCode: code })
      expect((await supervisor.request('GET', `/containers/${Id}/logs?stdout=1`)).text).toContain(
        `x${code}\n`,
      )
    } else {
      expect(State).toBe('created')
    }
    expect((await supervisor.request('DELETE', `/containers/${Id}?force=1&v=1`)).status).toBe(204)
  }
}

function shimsOf(supervisor: TestSupervisor): string[] {
  return processesIn(`${supervisor.root}/run/c`).filter((pid) =>
    processTitle(pid).startsWith('holdfast: shim'),
  )
}

function kill(pid: string): void {
  try {
    process.kill(Number(pid), 'SIGKILL')
  } catch {
    return // it ended by itself
  }
}
