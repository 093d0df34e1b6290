import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { startContainer } from './start.ts'
import { stopContainer, type StopOptions } from './stop.ts'

export async function restartContainer(
  context: EngineContext,
  container: Container,
  options: StopOptions,
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
