import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { World } from './world.ts'

let world: World
beforeAll(async () => void (world = await World.open()))
afterAll(() => world.close())

const waitingOf = (pids: number[]): number => pids.filter(isWaiting).length

function isWaiting(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('holdfast: shim (waiting)')
  } catch {
    return false // it has ended
  }
}

it('keeps all shims of a burst for a second, three of them for five, and then fresh ones alone', async () => {
  const runs = await Promise.all(Array.from({ length: 6 }, () => world.run({ args: ['sleep', '100'] })))
  const pids = runs.map(({ shimPid }) => shimPid)
  await Promise.all(runs.map((run) => run.createAndStart()))
  const begun = performance.now()
  await Promise.all(runs.map((run) => run.delete()))
  await expect.poll(() => waitingOf(pids)).toBe(6)
  await expect.poll(() => waitingOf(pids), { timeout: 4_000 }).toBe(3)
  expect(performance.now() - begun).toBeGreaterThan(900)
  await sleep(1_000)
  expect(waitingOf(pids)).toBe(3) // a container that comes now costs no fork
  await expect.poll(() => waitingOf(pids), { timeout: 10_000 }).toBe(0)
  expect(performance.now() - begun).toBeGreaterThan(4_900)
})
