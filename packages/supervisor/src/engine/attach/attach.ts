import { hasCode, HoldfastError } from '@holdfast/errors'
import { containerEvent } from '../events/container-event.ts'
import type { Container, LiveShim } from '../container.ts'
import type { EngineContext } from '../context.ts'
import type { AttachOptions, AttachSession } from '../engine.ts'
import { LiveAttachment } from './live-attachment.ts'
import { containerLogs } from '../logs/container-logs.ts'
import { PendingAttachment } from './pending-attachment.ts'
import { withShim } from '../shim/shim-of.ts'
import { isRunning } from '../waits.ts'
import { within } from '../within.ts'

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
  if (record.state.status === 'paused') {
    throw new HoldfastError('HF_CONTAINER_PAUSED', 'container is paused, unpause the container before attach')
  }
  containerEvent(context, container, 'attach')
  if (!options.stream) return options.logs ? logSession(container, options) : emptySession(record.config.Tty)
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
    return await withShim(container, (shim) => connect(container, shim, options))
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
 * Connects everyone who attached before the start to this shim, so that no output is missed. They have nothing of it
 * until `handOverPending`: before the program runs, another shim may take this one's place.
 */
export async function connectPending(container: Container, shim: LiveShim): Promise<void> {
  await Promise.all(
    [...container.pending].map(async (pending) => {
      const live = await connect(container, shim, pending.options).catch(() => undefined) // tried again below
      if (live) pending.offer(live)
    }),
  )
}

/** The program runs. A client that came too late to be connected before, and can't be now, sees the end of output. */
export function handOverPending(context: EngineContext, container: Container): void {
  for (const pending of container.pending) {
    if (pending.connected()) continue
    connectRunning(container, pending.options)
      .then((session) => {
        pending.offer(session)
        pending.connected()
      })
      .catch((error: unknown) => {
        pending.cancel()
        context.logger.warn({ err: error, container: container.id }, 'a client could not be attached')
      })
  }
  container.pending.clear()
}

export function cancelPending(container: Container): void {
  for (const pending of container.pending) pending.cancel()
  container.pending.clear()
}

async function connect(
  container: Container,
  { client }: Pick<LiveShim, 'client'>,
  options: AttachOptions,
): Promise<LiveAttachment> {
  const { stdin, stdout, stderr, logs } = options
  const { OpenStdin, StdinOnce, Tty } = container.record.config
  const connection = await client.attach({ stdin: stdin && OpenStdin, stdout, stderr, logs })
  // dockerd's rule: the stream of who alone feeds the container ends when the container has.
  return StdinOnce && !Tty
    ? new LiveAttachment(connection, Tty, () => container.ended.promise)
    : new LiveAttachment(connection, Tty)
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
