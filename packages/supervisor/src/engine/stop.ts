import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { killAndWait, sendAndThaw } from './kill.ts'
import { parseSignal } from './signals.ts'
import { isRunning } from './waits.ts'

export interface StopOptions {
  timeout?: number
  signal?: string
}

/** Seconds between the polite signal and SIGKILL, as Docker's. */
const defaultTimeout = 10

/** false when it was not running. */
export async function stopContainer(
  context: EngineContext,
  container: Container,
  options: StopOptions,
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
