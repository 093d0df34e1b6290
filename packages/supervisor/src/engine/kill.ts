import { constants } from 'node:os'
import { hasCode } from '@holdfast/errors'
import { choicesOf } from './namespaces/container-choices.ts'
import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { askShim, checkRunning } from './shim/shim-of.ts'
import { parseSignal } from './signals.ts'
import { isRunning } from './waits.ts'
import { within } from './within.ts'

/** How long a killed container may take to end: the kernel has to free what it had. */
const killDeadlineMs = 20_000

/** `docker kill`: returns at once, and after SIGKILL when the container has ended. */
export async function killContainer(
  context: EngineContext,
  container: Container,
  name: string,
): Promise<void> {
  const signal = parseSignal(name === '' ? 'SIGKILL' : name)
  checkRunning(container)
  if (signal === constants.signals.SIGKILL) return await killAndWait(context, container)
  if (mayEnd(container, signal)) await sendAndThaw(context, container, signal)
  else await send(context, container, signal)
}

/** As dockerd sees it: a paused container goes on for its stop signal, and for any where it was not given one. */
function mayEnd({ record }: Container, signal: number): boolean {
  const { StopSignal = '' } = record.config
  return StopSignal === '' || parseSignal(StopSignal) === signal
}

export async function killAndWait(context: EngineContext, container: Container): Promise<void> {
  if (!isRunning(container.record)) return
  const ended = container.ended.promise
  await sendAndThaw(context, container, constants.signals.SIGKILL)
  await within(killDeadlineMs, `the end of the killed container ${container.record.name}`, ended)
}

async function send(context: EngineContext, container: Container, signal: number): Promise<void> {
  // In somebody else's pid namespace the end of the first process doesn't end the others.
  const all =
    signal === constants.signals.SIGKILL && choicesOf(context, container).namespaces.pid.kind !== 'own'
  try {
    await askShim(container, 'kill', { signal, all })
  } catch (error) {
    if (!isRunning(container.record) || hasCode(error, 'HF_CONTAINER_NOT_RUNNING', 'HF_CONTAINER_STATE'))
      return
    throw error
  }
  containerEvent(context, container, 'kill', { signal: String(signal) })
}

/** A frozen process gets its signals when it thaws. */
export async function sendAndThaw(
  context: EngineContext,
  container: Container,
  signal: number,
): Promise<void> {
  await send(context, container, signal)
  if (container.record.state.status !== 'paused') return
  await askShim(container, 'resume', {}).catch((error: unknown) => {
    if (
      isRunning(container.record) &&
      !hasCode(error, 'HF_CONTAINER_STATE', 'HF_CONTAINER_NOT_RUNNING', 'HF_CONTAINER_RUNNING')
    )
      throw error
  })
  if (container.record.state.status !== 'paused') return
  container.update({ status: 'running' })
  containerEvent(context, container, 'unpause')
}
