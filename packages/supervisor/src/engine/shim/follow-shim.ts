/** What shims report: ends, out-of-memory kills, execs, and their own end. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '@holdfast/errors'
import type { ExitRecord, ShimEvent, ShimSpec } from '@holdfast/protocol'
import { containerEvent } from '../events/container-event.ts'
import type { Container, LiveShim } from '../container.ts'
import type { EngineContext } from '../context.ts'
import { learnNames } from '../network/egress.ts'
import { containerExited, unknownExit } from '../exit.ts'
import { execExited } from '../exec.ts'
import { shimDirectory } from '../paths.ts'
import { reachShim } from './reach-shim.ts'
import { isRunning } from '../waits.ts'

/** Between the attempts to have a container taken over, twice as long each time: two minutes in all, and it is ended. */
const firstPauseMs = 500
const longestPauseMs = 64_000

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
  context.logger.warn(
    { container: container.id, shim: shim.pid },
    'a shim is gone: starting another for its container',
  )
  void adoptOrEnd(context, container)
}

/**
 * What keeps shims from coming up may pass: a lack of memory, or of descriptors. Requests wait for the attempt that is
 * under way, `container.adoption`, and are refused between two of them.
 */
export async function adoptOrEnd(context: EngineContext, container: Container): Promise<void> {
  for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
    const attempt = tryToAdopt(context, container, { isLast: pauseMs > longestPauseMs })
    container.adoption = attempt.then(() => {})
    if (await attempt) return
    await sleep(pauseMs, undefined, { ref: false })
  }
}

/** Whether there is nothing more to be tried. Never throws. */
async function tryToAdopt(
  context: EngineContext,
  container: Container,
  { isLast }: { isLast: boolean },
): Promise<boolean> {
  try {
    const exit = await adopt(context, container)
    if (exit) containerExited(context, container, exit)
    else noteStatus(container)
    return true
  } catch (error) {
    if (context.closing || !isRunning(container.record)) return true
    context.logger.error({ err: error, container: container.id }, 'no new shim could take the container over')
    if (!isLast && hasCode(error, 'HF_SHIM_LOST')) return false
    containerExited(context, container, unknownExit(), `its shim was lost: ${String(error)}`)
    return true
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
