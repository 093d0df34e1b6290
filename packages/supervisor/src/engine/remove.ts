import { rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { AT_FDCWD, closeFd, O_DIRECTORY, openat2 } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { removeIfSmall } from '@holdfast/images'
import { cancelPending } from './attach/attach.ts'
import { containerEvent } from './events/container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { disconnectNetwork } from './network/endpoint.ts'
import { releaseIdRange } from './namespaces/id-map.ts'
import { killAndWait } from './kill.ts'
import { containerDirectory } from './paths.ts'
import { discardShim } from './shim/shim-directory.ts'
import { isRunning } from './waits.ts'

export async function removeContainer(
  context: EngineContext,
  container: Container,
  options: { force: boolean; volumes: boolean },
): Promise<void> {
  const { record } = container
  if (container.removing) {
    throw new HoldfastError(
      'HF_CONTAINER_STATE',
      `removal of container ${record.name} is already in progress`,
    )
  }
  if (isRunning(record) && !options.force) {
    const paused = record.state.status === 'paused'
    throw new HoldfastError(
      'HF_CONTAINER_RUNNING',
      `cannot remove container "/${record.name}": container is ${record.state.status}: ` +
        `${paused ? 'unpause and stop' : 'stop'} the container before removing or force remove`,
    )
  }
  container.removing = true
  try {
    await container.lock.run(() => context.reserve.runAsync(() => removeLocked(context, container, options)))
  } catch (error) {
    container.removing = false
    throw error
  }
}

async function removeLocked(
  context: EngineContext,
  container: Container,
  { volumes }: { force: boolean; volumes: boolean },
): Promise<void> {
  const { id } = container
  if (isRunning(container.record)) await killAndWait(context, container).catch(giveUp(container))
  await container.cleanup
  // From here on a restart of the engine goes on with the removal.
  container.update({ status: 'removing' })
  cancelPending(container)
  await Promise.all([disconnectNetwork(context, container), discardShim(context, container)])
  await context.images.removeSnapshot(id)
  if (volumes)
    for (const name of container.book.anonymousVolumes) await removeUnused(context, container, name)
  forget(context, container)
  removeLater(context, id)
  context.containers.delete(container)
  containerEvent(context, container, 'destroy')
  container.waits.removed(container.record)
}

/** What no shim can kill is taken down without one, and nobody knows how it ends. 255 is what Docker says then. */
function giveUp(container: Container): (error: unknown) => void {
  return (error) => {
    if (!hasCode(error, 'HF_SHIM_LOST')) throw error
    container.update({ status: 'removing', pid: 0, exitCode: 255, error: 'its shim was lost' })
    container.ended.resolve()
  }
}

/** When this is answered: nobody waits for the disk. A directory without a record is taken away at the next start. */
function removeLater(context: EngineContext, id: string): void {
  setImmediate(() => {
    removeDirectory(containerDirectory(context.paths, id)).catch((error: unknown) =>
      context.logger.error({ err: error, container: id }, "removing a container's directory"),
    )
  })
}

/** A handful of small files is removed at once: the thread pool takes its time for each, and as much of the processor. */
async function removeDirectory(path: string): Promise<void> {
  const parent = openat2(AT_FDCWD, dirname(path), { flags: O_DIRECTORY })
  try {
    if (removeIfSmall(parent, Buffer.from(basename(path)))) return
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  } finally {
    closeFd(parent)
  }
  await rm(path, { recursive: true, force: true })
}

function forget(context: EngineContext, container: Container): void {
  releaseIdRange(context, container)
  context.store.delete(container.id)
}

async function removeUnused(context: EngineContext, container: Container, name: string): Promise<void> {
  const used = context.containers
    .list()
    .some((each) => each.id !== container.id && each.record.mounts.some((mount) => mount.Name === name))
  if (!used) await context.volumes.remove(name)
}

/** --rm: in the background; whoever waits for the removal is told when it is done. */
export function autoRemove(context: EngineContext, container: Container): void {
  if (container.removing || context.closing) return
  void removeContainer(context, container, { force: true, volumes: true }).catch((error: unknown) => {
    if (context.closing) return // the next engine goes on with it
    context.logger.error(
      { err: error, container: container.id },
      'removing a container that was started with --rm',
    )
  })
}
