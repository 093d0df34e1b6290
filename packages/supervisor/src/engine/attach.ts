import { hasCode, HoldfastError } from '@holdfast/errors'
import { containerEvent } from './container-event.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { AttachOptions, AttachSession } from './engine.ts'
import { LiveAttachment } from './live-attachment.ts'
import { containerLogs } from './container-logs.ts'
import { PendingAttachment } from './pending-attachment.ts'
import { shimOf } from './shim-of.ts'
import { isRunning } from './waits.ts'
import { within } from './within.ts'

/** How long after its shim stops answering a container's end may become known. */
const endDeadlineMs = 3000

/** Works before the start too: the session then waits for it. */
export async function attach(
  context: EngineContext,
  container: Container,
  options: AttachOptions,
): Promise<AttachSession> {
  const { record } = container
  if (container.removing)
    throw new HoldfastError('HF_CONTAINER_STATE', `container ${record.id} is being removed`)
  if (!options.stream) return options.logs ? logSession(container, options) : emptySession(record.config.Tty)
  if (record.state.status === 'paused') {
    throw new HoldfastError('HF_CONTAINER_PAUSED', 'container is paused, unpause the container before attach')
  }
  containerEvent(context, container, 'attach')
  if (isRunning(record)) return await connectRunning(container, options)
  const pending = new PendingAttachment(record.config.Tty, options, (each) => container.pending.delete(each))
  container.pending.add(pending)
  return pending
}

/**
 * A shim that is ending with its container takes no more clients. One that comes just then has reached the end of
 * output, a moment before the engine heard of it.
 */
async function connectRunning(container: Container, options: AttachOptions): Promise<AttachSession> {
  try {
    return await connect(container, options)
  } catch (error) {
    if (!hasCode(error, 'HF_SHIM_LOST', 'HF_CONTAINER_NOT_RUNNING')) throw error
    try {
      await within(endDeadlineMs, 'the end of the container', container.ended.promise)
    } catch {
      throw error // it runs on: its shim is what is missing
    }
    return emptySession(container.record.config.Tty)
  }
}

/**
 * Connects everyone who attached before: between `create` and `start`, so that no output is missed. A client that
 * can't be connected sees the end of output; the container starts without it.
 */
export async function connectPending(context: EngineContext, container: Container): Promise<void> {
  const waiting = [...container.pending]
  container.pending.clear()
  await Promise.all(
    waiting.map(async (pending) => {
      try {
        pending.connected(await connect(container, pending.options))
      } catch (error) {
        pending.cancel()
        context.logger.warn({ err: error, container: container.id }, 'a client could not be attached')
      }
    }),
  )
}

export function cancelPending(container: Container): void {
  for (const pending of container.pending) pending.cancel()
  container.pending.clear()
}

async function connect(container: Container, options: AttachOptions): Promise<LiveAttachment> {
  const { stdin, stdout, stderr, logs } = options
  const { client } = container.shim ?? (await shimOf(container))
  const open = stdin && container.record.config.OpenStdin
  return new LiveAttachment(
    await client.attach({ stdin: open, stdout, stderr, logs }),
    container.record.config.Tty,
  )
}

/** `logs=1&stream=0`: what was written so far, and the end. */
async function logSession(container: Container, options: AttachOptions): Promise<AttachSession> {
  const abort = new AbortController()
  const { stdout, stderr } = options
  const log = await containerLogs(container, {
    stdout,
    stderr,
    follow: false,
    tail: -1,
    signal: abort.signal,
  })
  return { ...emptySession(container.record.config.Tty), output: log, close: () => abort.abort() }
}

function emptySession(tty: boolean): AttachSession {
  return { tty, output: (async function* () {})(), write: async () => {}, end: () => {}, close: () => {} }
}
