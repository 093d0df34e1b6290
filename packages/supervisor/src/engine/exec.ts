/** Further processes in a running container. */
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { parseExecSpec, type ExecSpec, type ExitRecord } from '@holdfast/protocol'
import type { AttachQuery } from '../shims/shim-attachment.ts'
import type { ShimClient } from '../shims/shim-client.ts'
import type { Container } from './container.ts'
import { containerEvent } from './events/container-event.ts'
import type { ExecRecord } from './container-record.ts'
import type { EngineContext } from './context.ts'
import type { AttachSession, ExecOptions, ExecStartOptions } from './engine.ts'
import { exitCodeOf } from './exit-code.ts'
import { LiveAttachment } from './attach/live-attachment.ts'
import { askShim, checkRunning, notRunning, withShim } from './shim/shim-of.ts'
import { isRunning } from './waits.ts'
import { within } from './within.ts'

/** Execs that can be inspected, per container; the oldest go first, and only those that have ended. */
const maxKept = 256

/** Clients tell the size of their terminal while they start the exec. */
const launchDeadlineMs = 10_000

/** How long after a failed exec the end of its container is waited for. */
const endReportMs = 200

export interface ExecInstance {
  record: ExecRecord
  options: ExecOptions
  spec: ExecSpec
  started: boolean
  /** It runs, or could not be launched. */
  launched: PromiseWithResolvers<void>
  /** Its exit code is known. */
  ended: PromiseWithResolvers<void>
}

export async function execCreate(
  context: EngineContext,
  container: Container,
  options: ExecOptions,
): Promise<string> {
  if (options.args.length === 0) {
    throw new HoldfastError('HF_BAD_REQUEST', 'No exec command specified', { details: { field: 'Cmd' } })
  }
  checkRunning(container)
  if (container.record.state.status === 'paused') {
    throw new HoldfastError(
      'HF_CONTAINER_PAUSED',
      `Container ${container.record.name} is paused, unpause the container before exec`,
    )
  }
  const { args, user, tty, attachStdin, privileged, detachKeys } = options
  const spec = parseExecSpec(specOf(options))
  const id = container.ahead.create(container.shim?.client, spec, hasDirectory(options))
  forgetOldest(container)
  container.execs.set(id, {
    options,
    spec,
    started: false,
    launched: Promise.withResolvers(),
    ended: Promise.withResolvers(),
    record: {
      id,
      containerId: container.id,
      running: false,
      exitCode: null,
      pid: 0,
      tty,
      openStdin: attachStdin,
      openStdout: options.attachStdout,
      openStderr: options.attachStderr,
      args,
      user,
      privileged,
      detachKeys,
    },
  })
  container.record = { ...container.record, execIds: [...container.record.execIds, id] }
  containerEvent(context, container, `exec_create: ${commandOf(args)}`, { execID: id })
  return id
}

/** As Docker writes it: the blank is there where nothing follows, too. */
function commandOf([program = '', ...args]: string[]): string {
  return `${program} ${args.join(' ')}`
}

function specOf(options: ExecOptions): ExecSpec {
  const { args, env, user, tty, privileged, attachStdin, workingDir, consoleSize } = options
  return {
    args,
    env,
    user,
    tty,
    privileged,
    stdin: attachStdin,
    ...(workingDir.startsWith('/') && { cwd: workingDir }), // others are refused at start
    ...(consoleSize && { consoleSize }),
  }
}

/** Docker's runtime finds a relative one out when it starts the exec, which then has an exit code: 126. */
function hasDirectory({ workingDir }: ExecOptions): boolean {
  return workingDir === '' || workingDir.startsWith('/')
}

export async function execStart(
  context: EngineContext,
  execId: string,
  options: ExecStartOptions,
): Promise<AttachSession | undefined> {
  const { container, exec } = findExec(context, execId)
  if (exec.started) throw new HoldfastError('HF_CONTAINER_STATE', `exec command ${execId} has already run`)
  checkRunning(container)
  exec.started = true
  const { attachStdin: stdin, attachStdout: stdout, attachStderr: stderr } = exec.options
  const { tty } = exec.record
  const { detach, consoleSize } = options
  containerEvent(context, container, `exec_start: ${commandOf(exec.record.args)}`, { execID: execId })
  exec.record = { ...exec.record, running: true }
  const accept = once(options.accepted)
  setImmediate(accept) // once the shim was asked, who then works beside the client
  try {
    if (!hasDirectory(exec.options)) {
      throw new HoldfastError('HF_COMMAND_NOT_EXECUTABLE', 'Cwd must be an absolute path', {
        details: { field: 'WorkingDir', value: exec.options.workingDir },
      })
    }
    const spec = consoleSize && tty ? { ...exec.spec, consoleSize } : exec.spec
    const streams = detach ? undefined : { stdin, stdout, stderr }
    const { pid, attachment } = await launch(container, execId, spec, streams)
    exec.record = { ...exec.record, pid }
    accept()
    return attachment && new LiveAttachment(attachment, tty, () => exec.ended.promise)
  } catch (failure) {
    accept()
    const error = await endedMeanwhile(container, failure)
    if (exec.record.exitCode === null) {
      exec.record = { ...exec.record, running: false, exitCode: exitCodeOf(error) }
      exec.ended.resolve()
      listIds(container)
    }
    throw error
  } finally {
    exec.launched.resolve()
  }
}

function once(action: () => void = () => {}): () => void {
  let done = false
  return () => {
    if (!done) action()
    done = true
  }
}

/** Where the shim is killed over it, the next one knows whether it was done: an exec that runs is not launched again. */
function launch(
  container: Container,
  execId: string,
  spec: ExecSpec,
  streams: Omit<AttachQuery, 'logs'> | undefined,
): ReturnType<ShimClient['exec']> {
  let first = true
  return withShim(container, async ({ client }) => {
    const known = first ? undefined : client.hello.execs.find(({ id }) => id === execId)
    first = false
    if (!known) return client.exec(execId, spec, streams)
    if (!streams && known.pid !== null) return { pid: known.pid, attachment: undefined }
    throw new HoldfastError('HF_START_FAILED', `the shim of exec ${execId} was killed while it was started`, {
      hint: 'The command may have run, and its output is lost. Look what it has done, and start another.',
    })
  })
}

/** The end of the container makes a launch fail in many ways, and is reported a moment after. */
async function endedMeanwhile(container: Container, error: unknown): Promise<unknown> {
  if (hasCode(error, 'HF_COMMAND_NOT_FOUND', 'HF_COMMAND_NOT_EXECUTABLE', 'HF_BAD_REQUEST')) return error
  await Promise.race([container.ended.promise, sleep(endReportMs)])
  return isRunning(container.record) ? error : notRunning(container, { cause: error })
}

export function execExited(
  context: EngineContext,
  container: Container,
  execId: string,
  exit: ExitRecord,
): void {
  const exec = container.execs.get(execId)
  if (!exec || exec.record.exitCode !== null) return
  exec.record = { ...exec.record, running: false, exitCode: exit.exitCode ?? 255 }
  exec.ended.resolve()
  container.ahead.ended()
  listIds(container)
  // dockerd says nothing of the end of what could not be launched.
  void exec.launched.promise.then(() => {
    if (exec.record.pid !== 0) announceEnd(context, container, exec)
  })
}

function announceEnd(context: EngineContext, container: Container, { record }: ExecInstance): void {
  containerEvent(context, container, 'exec_die', { execID: record.id, exitCode: String(record.exitCode) })
}

/** The container has ended, and every exec in it. */
export function endExecs(context: EngineContext, container: Container): void {
  for (const exec of container.execs.values()) {
    if (exec.record.running) {
      exec.record = { ...exec.record, running: false, exitCode: exec.record.exitCode ?? 137 }
      if (exec.record.pid !== 0) announceEnd(context, container, exec)
    }
    exec.ended.resolve()
  }
  listIds(container)
}

/** One is about to be created in it, if what comes is right. */
export function expectExec({ record, shim, ahead }: Container): void {
  ahead.expect(record.state.status === 'running' ? shim?.client : undefined)
}

export function execGet(context: EngineContext, execId: string): ExecRecord {
  return findExec(context, execId).exec.record
}

export async function execResize(
  context: EngineContext,
  execId: string,
  size: { rows: number; columns: number },
): Promise<void> {
  const { container, exec } = findExec(context, execId)
  await within(launchDeadlineMs, 'the start of the exec', exec.launched.promise)
  await askShim(container, 'exec.resize', { execId, ...size })
}

function findExec(context: EngineContext, execId: string): { container: Container; exec: ExecInstance } {
  for (const container of context.containers.list()) {
    const exec = container.execs.get(execId)
    if (exec) return { container, exec }
  }
  throw new HoldfastError('HF_EXEC_NOT_FOUND', `No such exec instance: ${execId}`, {
    details: { ref: execId },
  })
}

function forgetOldest({ execs }: Container): void {
  for (const [id, { started, record }] of execs) {
    if (execs.size < maxKept) return
    if (started && !record.running) execs.delete(id)
  }
}

/** `ExecIDs` of inspect: those that have not ended. Of all that are kept only those were listed before. */
function listIds(container: Container): void {
  const { execIds } = container.record
  const left = execIds.filter((id) => container.execs.get(id)?.record.exitCode === null)
  container.record = { ...container.record, execIds: left }
}
