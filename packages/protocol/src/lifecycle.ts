import { HoldfastError } from '@holdfast/errors'
import type { Method, Status } from './messages.ts'

/** What happens to a container, as its shim sees it. */
export type LifecycleEvent = 'created' | 'started' | 'paused' | 'resumed' | 'ended'

/**
 * OCI's lifecycle, with `paused` added as runc does. A pair that is missing here can't happen: `ended` comes from the
 * kernel and is taken in every state that has a process; the others follow a request, which `checkAllowed` guards.
 */
export const lifecycle: Record<Status, Partial<Record<LifecycleEvent, Status>>> = {
  creating: { created: 'created', ended: 'stopped' },
  created: { started: 'running', ended: 'stopped' },
  running: { paused: 'paused', ended: 'stopped' },
  paused: { resumed: 'running', ended: 'stopped' },
  stopped: {},
}

/** The state after `event`. Throws HF_INTERNAL where the table has no such pair. */
export function nextStatus(status: Status, event: LifecycleEvent): Status {
  const next = lifecycle[status][event]
  if (!next) throw new HoldfastError('HF_INTERNAL', `a container that is ${status} cannot become "${event}"`)
  return next
}

/** In which states a request may be made; a method that is missing is always allowed. */
export const allowedIn: Partial<Record<Method, readonly Status[]>> = {
  create: ['creating'],
  start: ['created'],
  kill: ['created', 'running', 'paused'],
  pause: ['running'],
  resume: ['paused'],
  resize: ['created', 'running', 'paused'],
  processes: ['created', 'running', 'paused'],
  'dns.set': ['created', 'running', 'paused'],
  'dns.change': ['created', 'running', 'paused'],
  'relays.set': ['created', 'running', 'paused'],
  'exec.prepare': ['running'],
  'exec.start': ['running'],
}

/** Throws the error that says why `method` is refused in `status`. */
export function checkAllowed(method: Method, status: Status): void {
  const states = allowedIn[method]
  if (!states || states.includes(status)) return
  const message = `${method} is not possible: the container is ${status}`
  if (status === 'paused') {
    throw new HoldfastError('HF_CONTAINER_PAUSED', message, { hint: 'Unpause the container first.' })
  }
  if (status === 'running') throw new HoldfastError('HF_CONTAINER_RUNNING', message)
  if (states.includes('running')) throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', message)
  throw new HoldfastError('HF_CONTAINER_STATE', message)
}
