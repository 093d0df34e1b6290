import type { Writable } from 'node:stream'
import type { ExecRecord } from '../../engine/container-record.ts'
import type { AttachSession } from '../../engine/engine.ts'
import { parseDetachKeys } from '../detach-keys.ts'
import { headTaken } from '../head-taken.ts'
import { terminalSize } from '../query.ts'
import type { Call, Hijacked, Route } from '../route.ts'
import { parseExecCreate, parseExecStart, type ExecStart } from '../schema/exec-create.ts'
import { dropInput, pumpAnswer, pumpSession } from '../session-pump.ts'
import { frameHeader, streamType } from '../stream-frame.ts'

export const execRoutes: Route[] = [
  { method: 'POST', path: '/containers/{id}/exec', handle: create },
  { method: 'POST', path: '/exec/{id}/start', hijacks: true, handle: start },
  { method: 'POST', path: '/exec/{id}/resize', handle: resize },
  { method: 'GET', path: '/exec/{id}/json', handle: inspect },
]

async function create(call: Call): Promise<void> {
  const { id = '' } = call.params
  call.engine.expectExec(id)
  const options = parseExecCreate(await call.json())
  call.send(201, { Id: await call.engine.execCreate(id, options) })
}

async function start(call: Call): Promise<void> {
  const options = parseExecStart(await call.json())
  const exec = await call.engine.execGet(call.params['id'] ?? '')
  if (options.detach) {
    await call.engine.execStart(exec.id, options)
    call.empty(200)
    return
  }
  await startAttached(call, exec, options)
}

/**
 * The head goes out before the process is launched, as dockerd's does: the client reads it meanwhile. From there on a
 * failure comes over the stream, and the exit code is in the exec: 127 where the command isn't there, 126 where it can't
 * be executed.
 */
async function startAttached(call: Call, exec: ExecRecord, options: ExecStart): Promise<void> {
  const { tty } = options
  let answer: Answer | undefined
  const accepted = () => void (answer = begin(call, exec, streamType(call.api, tty)))
  let session: AttachSession | undefined
  try {
    session = await call.engine.execStart(exec.id, { ...options, accepted })
  } catch (error) {
    if (!answer) throw error
    await sayFailed(answer, error, tty)
    return
  }
  if (!session || !answer) return
  const pumped = { multiplexed: !tty, logger: call.logger }
  if ('body' in answer) return await pumpAnswer(session, answer.body, pumped)
  await pumpSession(session, answer, {
    ...pumped,
    stdin: exec.openStdin,
    closesStdin: !tty,
    detachKeys: parseDetachKeys(exec.detachKeys),
    onDetach: () => call.engine.announce(exec.containerId, 'exec_detach', { execID: exec.id }),
  })
}

/** The connection itself, or the body of an ordinary answer: where nobody asks for the connection, nor may say anything. */
type Answer = Hijacked | { body: Writable }

function begin(call: Call, { openStdin }: ExecRecord, contentType: string): Answer {
  return call.upgrade || openStdin ? call.hijack(contentType) : { body: call.begin(200, contentType) }
}

async function sayFailed(answer: Answer, error: unknown, tty: boolean): Promise<void> {
  const stream = 'body' in answer ? answer.body : answer.socket
  const message = Buffer.from(`${(error as Error).message}\r\n`)
  await headTaken(stream)
  if (!tty) stream.write(frameHeader('stdout', message.length))
  stream.end(message)
  if ('socket' in answer) dropInput(answer.socket)
}

async function resize(call: Call): Promise<void> {
  await call.engine.execResize(call.params['id'] ?? '', terminalSize(call.query))
  call.empty(200)
}

async function inspect(call: Call): Promise<void> {
  const exec = await call.engine.execGet(call.params['id'] ?? '')
  const [entrypoint = '', ...args] = exec.args
  call.send(200, {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: exec.tty,
      entrypoint,
      arguments: args,
      privileged: exec.privileged,
      ...(exec.user === '' ? {} : { user: exec.user }),
    },
    OpenStdin: exec.openStdin,
    OpenStderr: exec.openStderr,
    OpenStdout: exec.openStdout,
    CanRemove: false, // dockerd sets it minutes later, when it is about to forget the exec
    ContainerID: exec.containerId,
    // Bytes, which Go writes in base64.
    DetachKeys: exec.detachKeys === '' ? '' : parseDetachKeys(exec.detachKeys).toString('base64'),
    Pid: exec.pid,
  })
}
