import { hasCode, HoldfastError, type ErrorCode } from '@holdfast/errors'
import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { askShim, checkRunning } from './shim/shim-of.ts'
import { isRunning } from './waits.ts'

export async function pauseContainer(context: EngineContext, container: Container): Promise<void> {
  await container.lock.run(async () => {
    checkRunning(container)
    if (container.record.state.status === 'paused') {
      throw new HoldfastError('HF_CONTAINER_PAUSED', `Container ${container.id} is already paused`)
    }
    await askShim(container, 'pause', {}).catch(unless('HF_CONTAINER_PAUSED'))
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
    await askShim(container, 'resume', {}).catch(unless('HF_CONTAINER_RUNNING'))
    if (!isRunning(container.record)) return
    container.update({ status: 'running' })
    containerEvent(context, container, 'unpause')
  })
}

/** The shim that was asked first had done it before it was killed. */
function unless(done: ErrorCode): (error: unknown) => void {
  return (error) => {
    if (!hasCode(error, done)) throw error
  }
}
