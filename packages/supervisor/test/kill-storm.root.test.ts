import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

import { busyboxTar, eventually, temporaryDirectory, TestSupervisor } from '@holdfast/testkit'
import { expect, it } from 'vitest'
import { randomNumbers } from './random-numbers.ts'

function pidsTitled(prefix: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      return readFileSync(`/proc/${entry}/cmdline`, 'utf8').startsWith(prefix) ? [Number(entry)] : []
    } catch {
      return [] // it ended in the meantime
    }
  })
}

function childrenTitled(prefix: string, parent: number | undefined): number[] {
  return pidsTitled(prefix).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1] === String(parent)
    } catch {
      return false
    }
  })
}

function zygoteOf(supervisor: TestSupervisor): number | undefined {
  return childrenTitled('holdfast: zygote', supervisor.pid)[0]
}

function kill(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Creates and starts one that ends by itself with `code`; the supervisor may die under it at any moment. */
async function runOne(supervisor: TestSupervisor, name: string, code: number): Promise<void> {
  const script = `echo first; usleep ${(code % 5) * 40_000}; echo last; exit ${code}`
  try {
    const { json, status } = await supervisor.request('POST', `/containers/create?name=${name}`, {
      Image: 'busybox',
      Cmd: ['sh', '-c', script],
    })
    if (status === 201) await supervisor.request('POST', `/containers/${json.Id}/start`)
  } catch {
    // the connection broke: what became of the container is looked at later
  }
}

it(
  'keeps every exit code and leaves nothing when parts are killed while containers start and end',
  { timeout: 180_000 },
  async () => {
    using directory = temporaryDirectory()
    await using supervisor = await TestSupervisor.start()
    await supervisor.request('POST', '/images/create?fromSrc=-&repo=busybox', busyboxTar(directory.path))
    const { seed, next } = randomNumbers()
    const codes = new Map<string, number>()

    for (let round = 0; round < 8; round++) {
      const names = Array.from({ length: 8 }, (_, index) => `${supervisor.instance}-${round}-${index}`)
      const running = names.map((name, index) => {
        codes.set(name, round * 8 + index + 1)
        return runOne(supervisor, name, round * 8 + index + 1)
      })
      await delay(30 + next() * 250) // a random moment, not a condition
      const victim = ['supervisor', 'zygote', 'shim', 'launch worker'][round % 4]
      if (victim === 'supervisor') {
        await supervisor.stop('SIGKILL')
        await Promise.all(running)
        await supervisor.start()
      } else if (victim === 'zygote') kill(zygoteOf(supervisor))
      else if (victim === 'launch worker')
        kill(childrenTitled('holdfast: launch worker', zygoteOf(supervisor))[0])
      else {
        const shims = pidsTitled(`holdfast: shim ${supervisor.instance}-${round}-`)
        kill(shims[Math.floor(next() * shims.length)])
      }
      await Promise.all(running)
    }

    const listed = await eventually(async () => {
      const { json } = await supervisor.request('GET', '/containers/json?all=1')
      const busy = json.filter(({ State }: { State: string }) => !['created', 'exited'].includes(State))
      if (busy.length > 0)
        throw new Error(
          `still ${busy.map((one: any) => `${one.Names[0]} ${one.State}`).join(', ')} (seed ${seed})`,
        )
      return json as { Id: string; Names: string[]; State: string }[]
    }, 60_000)
    for (const { Id, Names, State } of listed) {
      if (State !== 'exited') continue
      const { json } = await supervisor.request('GET', `/containers/${Id}/json`)
      const name = Names[0]!.slice(1)
      // A start that was interrupted may have been undone; one that happened has its own exit code and its whole log.
      if (json.State.StartedAt.startsWith('0001-')) continue
      expect({ name, seed, code: json.State.ExitCode }).toEqual({ name, seed, code: codes.get(name) })
      const logs = await supervisor.request('GET', `/containers/${Id}/logs?stdout=1`)
      expect({ name, seed, log: logs.text.replaceAll(/[^a-z]+/g, ' ').trim() }).toEqual({
        name,
        seed,
        log: 'first last',
      })
    }
    expect(listed.filter(({ State }) => State === 'exited').length).toBeGreaterThan(20)
  },
)
