/** What shims report: ends, out-of-memory kills, execs, and their own end. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExitRecord, ShimEvent, ShimSpec } from '@holdfast/protocol'
import { containerEvent } from './container-event.ts'
import type { Container, LiveShim } from './container.ts'
import type { EngineContext } from './context.ts'
import { learnNames } from './egress.ts'
import { containerExited, unknownExit } from './exit.ts'
import { execExited } from './exec.ts'
import { shimDirectory } from './paths.ts'
import { reachShim } from './reach-shim.ts'

/** Events are taken once `running` has resolved: an end that comes with the start's answer must not overtake it. */
export function followShim(
  context: EngineContext,
  container: Container,
  shim: LiveShim,
  running: Promise<void>,
): void {
  shim.client.on('event', (event) => void running.then(() => onEvent(context, container, shim, event)))
  shim.client.on('close', () => void running.then(() => onClose(context, container, shim)))
}

function onEvent(context: EngineContext, container: Container, shim: LiveShim, event: ShimEvent): void {
  if (container.shim !== shim || context.closing) return
  if (event.event === 'exited') containerExited(context, container, event.exit)
  if (event.event === 'exec-exited') execExited(context, container, event.execId, event.exit)
  if (event.event === 'names-learned') void learnNames(context, container, { shim, event })
  if (event.event === 'oom') {
    container.update({ oomKilled: true })
    containerEvent(context, container, 'oom')
  }
}

/** The shim is gone, its container isn't: the keeper holds it, and a new shim takes over. */
function onClose(context: EngineContext, container: Container, shim: LiveShim): void {
  if (container.shim !== shim || context.closing) return
  container.shim = undefined
  container.adoption = adoptAfterLoss(context, container, shim)
}

async function adoptAfterLoss(context: EngineContext, container: Container, shim: LiveShim): Promise<void> {
  context.logger.warn(
    { container: container.id, shim: shim.pid },
    'a shim is gone: starting another for its container',
  )
  try {
    const exit = await adopt(context, container)
    if (exit) containerExited(context, container, exit)
    else noteStatus(container)
  } catch (error) {
    if (context.closing) return
    context.logger.error({ err: error, container: container.id }, 'no new shim could take the container over')
    containerExited(context, container, unknownExit(), `its shim was lost: ${String(error)}`)
  }
}

/** What the shim of before had done and could not tell of any more. */
export function noteStatus(container: Container): void {
  const { status = 'running', pid = 0 } = container.shim?.client.hello ?? {}
  const { state } = container.record
  const found = status === 'paused' ? 'paused' : 'running'
  if (state.status !== found || state.pid !== pid) container.update({ status: found, pid })
}

/**
 * Connects to the container's shim, or to a new one that takes the container over. Returns the exit record where the
 * container has ended in the meantime. What comes later is taken once `running` has resolved.
 */
export async function adopt(
  context: EngineContext,
  container: Container,
  running: Promise<void> = Promise.resolve(),
): Promise<ExitRecord | undefined> {
  const dir = shimDirectory(context.paths, container.id)
  const { token } = JSON.parse(readFileSync(join(dir, 'shim.json'), 'utf8')) as ShimSpec
  const client = await reachShim(context, dir, token)
  const { shimPid, keeperPid, namespaces, status, exit, execs } = client.hello
  const shim: LiveShim = { client, pid: shimPid, keeperPid, namespaces, initPid: client.hello.pid }
  container.shim = shim
  for (const exec of execs) if (exec.exit) execExited(context, container, exec.id, exec.exit)
  if (status === 'stopped') return exit ?? unknownExit()
  followShim(context, container, shim, running)
  return undefined
}
