/**
 * After a start of the engine: what its records say is held against what is there. Every leftover belongs to a
 * container or is removed; nothing is guessed, and nothing pid-based is trusted across a reboot.
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { bootId } from '@holdfast/core'
import type { Attachment } from '@holdfast/network'
import { listCgroups, removeCgroup } from './cgroup-tree.ts'
import { choicesOf } from './namespaces/container-choices.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { forgetAttachment } from './network/endpoint.ts'
import { containerExited, unknownExit } from './exit.ts'
import { adoptOrEnd } from './shim/follow-shim.ts'
import { namedIdRanges } from './namespaces/named-namespaces.ts'
import { containerDirectory, shimDirectory } from './paths.ts'
import { autoRemove, removeContainer } from './remove.ts'
import { discardShimDirectory } from './shim/shim-directory.ts'
import { isRunning } from './waits.ts'

export async function recover(context: EngineContext): Promise<void> {
  const { containers, store } = context
  const known = store.fact('boot-id')
  const isKnown = known === bootId()
  // Unknown where the records are new, or were lost: then shims of before may live, and end each as a stray does.
  if (known !== undefined && !isKnown) await forgetEarlierBoot(context)
  // A removal that was begun is finished, and --rm keeps its word: both after everything else is in order.
  const unfinished = containers.list().filter(({ record }) => record.state.status === 'removing')
  await inBatches(
    containers.list().filter(({ record }) => isRunning(record)),
    (each) => reconnect(context, each),
  )
  await removeStrayShims(context)
  await restoreNetwork(context)
  for (const container of unfinished) await finishRemoval(context, container)
  await removeStrayStorage(context)
  await restoreIdRanges(context)
  await removeStrayCgroups(context)
  if (!isKnown) context.reserve.run(() => store.setFact('boot-id', bootId())) // else nothing to write: the disk may be full
  for (const container of containers.list()) {
    const { state, hostConfig } = container.record
    if (hostConfig.AutoRemove && state.status === 'exited') autoRemove(context, container)
  }
}

/** The machine was restarted: no process, mount or link of before is there any more. */
async function forgetEarlierBoot(context: EngineContext): Promise<void> {
  await rm(context.paths.shims, { recursive: true, force: true })
  mkdirSync(context.paths.shims, { mode: 0o700 })
  for (const container of context.containers.list()) {
    forgetAttachment(container)
    if (isRunning(container.record)) endUnseen(context, container, 'the machine was restarted')
  }
}

/** The container's shim, or a new one, says how it is; an end in the meantime is taken as it happened. */
async function reconnect(context: EngineContext, container: Container): Promise<void> {
  if (!existsSync(join(shimDirectory(context.paths, container.id), 'shim.json'))) {
    return endUnseen(context, container, 'its run directory is gone')
  }
  container.ended = Promise.withResolvers()
  void adoptOrEnd(context, container)
  await container.adoption // once: it is tried further while we serve
}

function endUnseen(context: EngineContext, container: Container, why: string): void {
  containerExited(context, container, unknownExit(), why)
}

/** Starts that were cut short, and containers that are gone: whatever was made is undone. */
async function removeStrayShims(context: EngineContext): Promise<void> {
  if (!existsSync(context.paths.shims)) return
  const stray = readdirSync(context.paths.shims).filter((id) => {
    const container = context.containers.byId(id)
    return !container || !isRunning(container.record)
  })
  await inBatches(stray, async (id) => {
    await context.containers.byId(id)?.cleanup
    await attempt(context, `removing the run directory of ${id}`, () =>
      discardShimDirectory(context, shimDirectory(context.paths, id)),
    )
  })
}

async function restoreNetwork(context: EngineContext): Promise<void> {
  const living: Attachment[] = []
  for (const container of context.containers.list()) {
    await container.cleanup
    const { attachment } = container.book
    if (attachment && isRunning(container.record)) living.push(attachment)
    else if (attachment) forgetAttachment(container)
  }
  const removed = await context.network.restore(living)
  if (removed.length > 0) context.logger.info({ removed }, 'removed leftovers of the network')
}

async function finishRemoval(context: EngineContext, container: Container): Promise<void> {
  await attempt(context, `finishing the removal of ${container.id}`, () =>
    removeContainer(context, container, { force: true, volumes: container.record.hostConfig.AutoRemove }),
  )
}

async function removeStrayStorage(context: EngineContext): Promise<void> {
  for (const key of context.images.listSnapshots()) {
    if (context.containers.byId(key)) continue
    await attempt(context, `removing the snapshot ${key}`, () => context.images.removeSnapshot(key))
  }
  for (const id of readdirSync(context.paths.containers)) {
    if (context.containers.byId(id)) continue
    await attempt(context, `removing the directory of ${id}`, () =>
      rm(containerDirectory(context.paths, id), { recursive: true, force: true }),
    )
  }
}

async function restoreIdRanges(context: EngineContext): Promise<void> {
  const owned = context.containers.list().flatMap((container) => {
    const { idRange, hostConfig } = container.record
    const isOwn =
      idRange !== null && !/^(container:|ns:|\/)/.test(hostConfig.UsernsMode) && ownsRange(context, container)
    return isOwn ? [[container.id, idRange] as const] : []
  })
  context.idRanges.restore(new Map([...owned, ...(await namedIdRanges(context))]))
}

function ownsRange(context: EngineContext, container: Container): boolean {
  const { user } = choicesOf(context, container).namespaces
  // Whom it joined may be gone, and have left the range to it.
  return user.kind === 'own' || (user.kind === 'container' && !context.containers.byId(user.id))
}

async function removeStrayCgroups(context: EngineContext): Promise<void> {
  for (const name of listCgroups(context.cgroupParent)) {
    const container = context.containers.byId(name)
    if ((container && isRunning(container.record)) || isWarmUp(name)) continue
    await attempt(context, `removing the cgroup ${name}`, () =>
      removeCgroup(`${context.cgroupParent}/${name}`),
    )
  }
}

/** Our zygote's own cgroup, while it warms up; one of an earlier zygote is a leftover. */
function isWarmUp(name: string): boolean {
  const [, pid] = /^warm-up-(\d+)$/.exec(name) ?? []
  return pid !== undefined && existsSync(`/proc/${pid}`)
}

/** One leftover that can't be removed must not keep the engine from its other containers. */
async function attempt(context: EngineContext, what: string, action: () => Promise<void>): Promise<void> {
  try {
    await action()
  } catch (error) {
    context.logger.error({ err: error }, `recovery: ${what}`)
  }
}

/** A few at a time: each may need a new shim. */
async function inBatches<T>(items: T[], action: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  await Promise.all(
    Array.from({ length: Math.min(8, queue.length) }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await action(item)
    }),
  )
}
