import { hasCode, HoldfastError } from '@holdfast/errors'
import type { Method, Requests } from '@holdfast/protocol'
import type { Container, LiveShim } from '../container.ts'
import { isRunning } from '../waits.ts'
import { within } from '../within.ts'

/** How long a request waits for the shim that takes over from one that died: its zygote may have to be started first. */
const adoptionDeadlineMs = 30_000

/** How often something is tried whose shim is killed each time. */
const mostTries = 4

/** How long after its death a shim's connection may take to break. */
const breakDeadlineMs = 1000

/** The shim of a running container. Throws HF_CONTAINER_NOT_RUNNING, or HF_SHIM_LOST where no other could take over. */
export async function shimOf(container: Container): Promise<LiveShim> {
  checkRunning(container)
  if (!container.shim) await settled(container.adoption)
  checkRunning(container)
  if (container.shim) return container.shim
  throw new HoldfastError('HF_SHIM_LOST', `the shim of container ${container.record.name} does not answer`, {
    hint: 'The container goes on without it, and another shim is being started: try again in a moment.',
  })
}

/**
 * What `action` does with the container's shim. Where that is killed before it has answered, it is done once more with the
 * shim that takes over: only for what may be done twice.
 */
export async function withShim<T>(
  container: Container,
  action: (shim: LiveShim) => Promise<T> | T,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const shim = await shimOf(container)
    try {
      return await action(shim)
    } catch (error) {
      if (tries === mostTries || !(await isLost(shim, error))) throw error
    }
  }
}

/** One request, by `withShim`. */
export function askShim<M extends Method>(
  container: Container,
  method: M,
  params: Requests[M]['params'],
): Promise<Requests[M]['result']> {
  return withShim(container, ({ client }) => client.request(method, params))
}

/** Whether it failed since the shim has died; everybody knows of that then. */
export async function isLost({ client }: Pick<LiveShim, 'client'>, error: unknown): Promise<boolean> {
  if (!hasCode(error, 'HF_SHIM_LOST')) return false
  try {
    await within(breakDeadlineMs, 'the end of a connection', client.gone)
    return true
  } catch {
    return false
  }
}

/** Whoever waited too long is told below that there is no shim. */
async function settled(adoption: Promise<void>): Promise<void> {
  await within(adoptionDeadlineMs, 'finding the container again', adoption).catch((error: unknown) => {
    if (!hasCode(error, 'HF_TIMEOUT')) throw error
  })
}

export function checkRunning(container: Container): void {
  if (isRunning(container.record)) return
  throw notRunning(container)
}

export function notRunning({ id }: Container, options: { cause?: unknown } = {}): HoldfastError {
  return new HoldfastError('HF_CONTAINER_NOT_RUNNING', `container ${id} is not running`, options)
}
