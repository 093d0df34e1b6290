import { HoldfastError } from '@holdfast/errors'
import { containerEvent } from './container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { shimOf } from './shim-of.ts'
import { isRunning } from './waits.ts'

export async function pauseContainer(context: EngineContext, container: Container): Promise<void> {
  await container.lock.run(async () => {
    const { client } = await shimOf(container)
    if (container.record.state.status === 'paused') {
      throw new HoldfastError('HF_CONTAINER_PAUSED', `Container ${container.id} is already paused`)
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
      throw new HoldfastError('HF_CONTAINER_STATE', `Container ${container.id} is not paused`)
    }
    await (await shimOf(container)).client.request('resume', {})
    if (!isRunning(container.record)) return
    container.update({ status: 'running' })
    containerEvent(context, container, 'unpause')
  })
}
