import { HoldfastError, nameDiskFull } from '@holdfast/errors'
import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { checkName } from './names.ts'

export async function renameContainer(
  context: EngineContext,
  container: Container,
  wanted: string,
): Promise<void> {
  if (wanted === '') {
    throw new HoldfastError('HF_BAD_REQUEST', 'Neither old nor new names may be empty', {
      details: { field: 'name' },
    })
  }
  const whatFor = 'Error when allocating new name: '
  const name = checkName(wanted, whatFor)
  await container.lock.run(() => {
    const from = container.record.name
    if (name === from) {
      throw new HoldfastError('HF_BAD_REQUEST', 'Renaming a container with the same name as its current name')
    }
    context.containers.reserve(name, whatFor)
    try {
      context.store.rename(container.id, name)
    } catch (error) {
      context.containers.unreserve(name)
      throw nameDiskFull(error)
    }
    container.record = { ...container.record, name }
    context.containers.renamed(container, from)
    containerEvent(context, container, 'rename', { oldName: `/${from}` })
  })
}
