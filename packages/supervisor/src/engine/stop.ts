import { constants } from 'node:os'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { containerEvent } from './container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { choicesOf, startContainer } from './start.ts'
import { checkRunning, shimOf } from './shim-of.ts'
import { parseSignal } from './signals.ts'
import { isRunning } from './waits.ts'
import { within } from './within.ts'

export interface StopOptions {
  timeout?: number
  signal?: string
}

/** Seconds between the polite signal and SIGKILL, as Docker's. */
const defaultTimeout = 10

/** How long a killed container may take to end: the kernel has to free what it had. */
const killDeadlineMs = 20_000

/** false when it was not running. */
export async function stopContainer(
  context: EngineContext, container: Container, options: StopOptions,
): Promise<boolean> {
  if (!isRunning(container.record)) return false
  const { config } = container.record
  const signal = parseSignal(options.signal ?? config.StopSignal ?? 'SIGTERM')
  const timeout = options.timeout ?? config.StopTimeout ?? defaultTimeout
  await sendAndThaw(context, container, signal)
  if (!(await endsWithin(container, timeout))) await killAndWait(context, container)
  await container.cleanup
  containerEvent(context, container, 'stop')
  return true
}

export async function restartContainer(
  context: EngineContext, container: Container, options: StopOptions,
): Promise<void> {
  container.restarting = true
  try {
    await stopContainer(context, container, options)
    await startContainer(context, container)
  } finally {
    container.restarting = false
  }
  containerEvent(context, container, 'restart')
}

/** `docker kill`: returns at once, and after SIGKILL when the container has ended. */
export async function killContainer(context: EngineContext, container: Container, name: string): Promise<void> {
  const signal = parseSignal(name === '' ? 'SIGKILL' : name)
  checkRunning(container)
  if (signal === constants.signals.SIGKILL) return await killAndWait(context, container)
  await send(context, container, signal)
}

export async function killAndWait(context: EngineContext, container: Container): Promise<void> {
  if (!isRunning(container.record)) return
  const ended = container.ended.promise
  await sendAndThaw(context, container, constants.signals.SIGKILL)
  await within(killDeadlineMs, `the end of the killed container ${container.record.name}`, ended)
}

async function send(context: EngineContext, container: Container, signal: number): Promise<void> {
  const { client } = await shimOf(container)
  // In somebody else's pid namespace the end of the first process doesn't end the others.
  const all = signal === constants.signals.SIGKILL && choicesOf(context, container).namespaces.pid.kind !== 'own'
  try {
    await client.request('kill', { signal, all })
  } catch (error) {
    if (!isRunning(container.record) || hasCode(error, 'HF_CONTAINER_NOT_RUNNING', 'HF_CONTAINER_STATE')) return
    throw error
  }
  containerEvent(context, container, 'kill', { signal: String(signal) })
}

/** A frozen process gets its signals when it thaws. */
async function sendAndThaw(context: EngineContext, container: Container, signal: number): Promise<void> {
  await send(context, container, signal)
  if (container.record.state.status !== 'paused') return
  const { client } = await shimOf(container)
  await client.request('resume', {}).catch((error: unknown) => {
    if (isRunning(container.record) && !hasCode(error, 'HF_CONTAINER_STATE', 'HF_CONTAINER_NOT_RUNNING', 'HF_CONTAINER_RUNNING')) throw error
  })
  if (container.record.state.status === 'paused') container.update({ status: 'running' })
}

/** -1: wait for ever. */
async function endsWithin(container: Container, seconds: number): Promise<boolean> {
  const ended = container.ended.promise.then(() => true)
  if (seconds < 0) return await ended
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  // A timer can't wait longer than 2^31-1 ms.
  const timer = setTimeout(() => resolve(false), Math.min(seconds * 1000, 2 ** 31 - 1))
  try {
    return await Promise.race([ended, late])
  } finally {
    clearTimeout(timer)
  }
}

export async function pauseContainer(context: EngineContext, container: Container): Promise<void> {
  await container.lock.run(async () => {
    const { client } = await shimOf(container)
    if (container.record.state.status === 'paused') {
      throw new HoldfastError('HF_CONTAINER_PAUSED', `Container ${container.record.name} is already paused`)
    }
    await client.request('pause', {})
    if (!isRunning(container.record)) return
    container.update({ status: 'paused' })
    containerEvent(context, container, 'pause')
  })
}

export async function unpauseContainer(context: EngineContext, container: Container): Promise<void> {
  await container.lock.run(async () => {
    if (container.record.state.status !== 'paused') {
      throw new HoldfastError('HF_CONTAINER_STATE', `Container ${container.record.name} is not paused`)
    }
    await (await shimOf(container)).client.request('resume', {})
    if (!isRunning(container.record)) return
    container.update({ status: 'running' })
    containerEvent(context, container, 'unpause')
  })
}
