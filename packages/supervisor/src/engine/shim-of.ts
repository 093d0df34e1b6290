import { HoldfastError } from '@holdfast/errors'
import type { Container, LiveShim } from './container.ts'
import { isRunning } from './waits.ts'
import { within } from './within.ts'

/** How long a request waits for the shim that takes over from one that died. */
const adoptionDeadlineMs = 5000

/** The shim of a running container. Throws HF_CONTAINER_NOT_RUNNING, or HF_SHIM_LOST where no other could take over. */
export async function shimOf(container: Container): Promise<LiveShim> {
  checkRunning(container)
  if (!container.shim) await within(adoptionDeadlineMs, 'finding the container again', container.adoption)
  checkRunning(container)
  if (container.shim) return container.shim
  throw new HoldfastError('HF_SHIM_LOST', `the shim of container ${container.record.name} does not answer`, {
    hint: 'The container goes on without it, and another shim is being started: try again in a moment.',
  })
}

export function checkRunning(container: Container): void {
  if (isRunning(container.record)) return
  throw notRunning(container)
}

export function notRunning({ id }: Container, options: { cause?: unknown } = {}): HoldfastError {
  return new HoldfastError('HF_CONTAINER_NOT_RUNNING', `container ${id} is not running`, options)
}
