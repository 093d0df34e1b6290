import { HoldfastError } from '@holdfast/errors'
import type { Container, LiveShim } from './container.ts'
import { isRunning } from './waits.ts'

/** The shim of a running container. Throws HF_CONTAINER_NOT_RUNNING, or HF_SHIM_LOST while a new shim takes over. */
export function shimOf(container: Container): LiveShim {
  checkRunning(container)
  if (container.shim) return container.shim
  throw new HoldfastError('HF_SHIM_LOST', `the shim of container ${container.record.name} does not answer`, {
    hint: 'The container goes on without it, and another shim is being started: try again in a moment.',
  })
}

export function checkRunning(container: Container): void {
  if (isRunning(container.record)) return
  throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', `container ${container.id} is not running`)
}
