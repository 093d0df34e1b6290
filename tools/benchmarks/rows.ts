// The rows of the table: what is done, through the Engine API alone, and what one measurement of it is.
import { setTimeout as delay } from 'node:timers/promises'

import type { Engine } from './engine.ts'

export interface Row {
  key: string
  title: string
  unit: 'ms' | 'MiB' | 's'
  /** Holdfast's share of dockerd's figure that is to be reached. */
  budget: number
  /** How many measurements to take of each engine, in turn. */
  rounds: number
  measure(engine: Engine): Promise<number>
}

export const image = 'bench:latest'

const runTrue =
  (network: string) =>
  async (engine: Engine): Promise<number> => {
    const start = performance.now()
    await runOnce(engine, network)
    return performance.now() - start
  }

/** create, start, wait, remove. Returns the exit code, undefined where the exit was lost. */
async function runOnce(engine: Engine, network: string): Promise<number | undefined> {
  const id = await create(engine, ['true'], network)
  const waiting = engine.json<{ StatusCode: number }>('POST', `/containers/${id}/wait?condition=next-exit`)
  await engine.json('POST', `/containers/${id}/start`)
  const lost = new Promise<undefined>((resolve) => setTimeout(resolve, 20_000, undefined).unref())
  const answer = await Promise.race([waiting, lost])
  waiting.catch(() => {})
  await engine.json('DELETE', `/containers/${id}?force=1`)
  return answer?.StatusCode
}

async function create(engine: Engine, command: string[], network = 'bridge'): Promise<string> {
  const { Id } = await engine.json<{ Id: string }>('POST', '/containers/create', {
    Image: image,
    Cmd: command,
    HostConfig: { NetworkMode: network },
  })
  return Id
}

async function startSleeper(engine: Engine): Promise<string> {
  const id = await create(engine, ['sleep', '100000'], 'none')
  await engine.json('POST', `/containers/${id}/start`)
  return id
}

async function removeAll(engine: Engine, ids: string[]): Promise<void> {
  for (const id of ids) await engine.json('DELETE', `/containers/${id}?force=1`)
}

/** How many exits of `manyRuns` never arrived, by engine. */
export const lostExits = new Map<string, number>()

async function manyRuns(engine: Engine): Promise<number> {
  const start = performance.now()
  let left = 50
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      if ((await runOnce(engine, 'bridge')) !== 0)
        lostExits.set(engine.name, (lostExits.get(engine.name) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return (performance.now() - start) / 50
}

const sleepers = new Map<string, string>()

async function execTrue(engine: Engine): Promise<number> {
  let id = sleepers.get(engine.name)
  if (id === undefined) sleepers.set(engine.name, (id = await startSleeper(engine)))
  const start = performance.now()
  const { Id } = await engine.json<{ Id: string }>('POST', `/containers/${id}/exec`, {
    Cmd: ['true'],
    AttachStdout: true,
    AttachStderr: true,
  })
  await engine.call('POST', `/exec/${Id}/start`, { Detach: false, Tty: false })
  const { ExitCode } = await engine.json<{ ExitCode: number | null }>('GET', `/exec/${Id}/json`)
  const duration = performance.now() - start
  if (ExitCode !== 0) throw new Error(`${engine.name}: exec true ended with ${ExitCode}`)
  return duration
}

/** The container of `execTrue`. */
async function removeSleeper(engine: Engine): Promise<void> {
  const id = sleepers.get(engine.name)
  sleepers.delete(engine.name)
  if (id !== undefined) await removeAll(engine, [id])
}

/** Private memory of the processes that an engine has for each container, the container's own not counted. */
async function memoryPerContainer(engine: Engine): Promise<number> {
  const count = 20
  await removeSleeper(engine) // it would be one more, and one in which something was executed
  const ids: string[] = []
  for (let index = 0; index < count; index++) ids.push(await startSleeper(engine))
  const shims = engine.processes().filter((one) => /containerd-shim|holdfast: (shim|keeper)/.test(one.title))
  await removeAll(engine, ids)
  // A shim that waits ahead for the next container belongs to the engine.
  const busy = shims.filter((one) => !one.title.includes('(waiting)'))
  if (busy.length < count)
    throw new Error(`${engine.name}: only ${busy.length} shims were found for ${count} containers`)
  return busy.reduce((sum, one) => sum + one.private, 0) / 1024 / count
}

/** How long nothing is asked before an engine counts as idle: both give memory back some seconds after their work. */
const idleMs = 15_000

/** PSS of everything that runs while no container does. */
async function idleMemory(engine: Engine): Promise<number> {
  await removeSleeper(engine)
  await delay(idleMs)
  const all = engine.processes()
  if (all.length < 2) throw new Error(`${engine.name}: only ${all.length} of its processes were found`)
  return all.reduce((sum, one) => sum + one.pss, 0) / 1024
}

const logged = new Map<string, string>()
const logBytes = 100_000_000

/** 100 MB of lines of 100 bytes, from start to exit. */
async function writeLog(engine: Engine): Promise<number> {
  const script = `yes ${'x'.repeat(99)} | head -c ${logBytes}`
  const id = await create(engine, ['sh', '-c', script], 'none')
  const waiting = engine.json('POST', `/containers/${id}/wait?condition=next-exit`)
  const start = performance.now()
  await engine.json('POST', `/containers/${id}/start`)
  await waiting
  const duration = performance.now() - start
  const before = logged.get(engine.name)
  if (before !== undefined) await removeAll(engine, [before])
  logged.set(engine.name, id)
  return duration / 1000
}

async function readLog(engine: Engine): Promise<number> {
  const start = performance.now()
  const response = await engine.open('GET', `/containers/${logged.get(engine.name)}/logs?stdout=1&stderr=1`)
  let size = 0
  for await (const chunk of response) size += (chunk as Buffer).length
  const duration = performance.now() - start
  // Each line has a frame header of 8 bytes, or several share one.
  if (size < logBytes || size > logBytes * 1.09)
    throw new Error(`${engine.name} gave back ${size} bytes of log`)
  return duration / 1000
}

export const rows: Row[] = [
  {
    key: 'run',
    title: 'run `true`, bridge network',
    unit: 'ms',
    budget: 1 / 15,
    rounds: 15,
    measure: runTrue('bridge'),
  },
  {
    key: 'none',
    title: 'run `true`, no network',
    unit: 'ms',
    budget: 1 / 15,
    rounds: 15,
    measure: runTrue('none'),
  },
  { key: 'exec', title: 'exec `true`', unit: 'ms', budget: 1 / 10, rounds: 15, measure: execTrue },
  {
    key: 'many',
    title: '50 runs, 16 at a time (each)',
    unit: 'ms',
    budget: 1 / 10,
    rounds: 3,
    measure: manyRuns,
  },
  {
    key: 'container',
    title: 'private memory per idle container',
    unit: 'MiB',
    budget: 0.8,
    rounds: 1,
    measure: memoryPerContainer,
  },
  {
    key: 'idle',
    title: 'the engine idle for 15 s (PSS)',
    unit: 'MiB',
    budget: 0.7,
    rounds: 1,
    measure: idleMemory,
  },
  {
    key: 'log',
    title: '100 MB of log lines written',
    unit: 's',
    budget: 1 / 2,
    rounds: 3,
    measure: writeLog,
  },
  {
    key: 'readlog',
    title: '100 MB of log lines read back',
    unit: 's',
    budget: 1 / 5,
    rounds: 3,
    measure: readLog,
  },
]
