import type { Duplex } from 'node:stream'
import type { ExecRecord } from '../../engine/container-record.ts'
import type { AttachSession } from '../../engine/engine.ts'
import { parseDetachKeys } from '../detach-keys.ts'
import { headTaken } from '../head-taken.ts'
import { terminalSize } from '../query.ts'
import type { Call, Hijacked, Route } from '../route.ts'
import { parseExecCreate, parseExecStart, type ExecStart } from '../schema/exec-create.ts'
import { pumpSession } from '../session-pump.ts'
import { frameHeader, streamType } from '../stream-frame.ts'

export const execRoutes: Route[] = [
  { method: 'POST', path: '/containers/{id}/exec', handle: create },
  { method: 'POST', path: '/exec/{id}/start', hijacks: true, handle: start },
  { method: 'POST', path: '/exec/{id}/resize', handle: resize },
  { method: 'GET', path: '/exec/{id}/json', handle: inspect },
]

async function create(call: Call): Promise<void> {
  const options = parseExecCreate(await call.json())
  call.send(201, { Id: await call.engine.execCreate(call.params['id'] ?? '', options) })
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
  let hijacked: Hijacked | undefined
  const accepted = () => void (hijacked = call.hijack(streamType(call.api, tty)))
  let session: AttachSession | undefined
  try {
    session = await call.engine.execStart(exec.id, { ...options, accepted })
  } catch (error) {
    if (!hijacked) throw error
    await sayFailed(hijacked.socket, error, tty)
    return
  }
  if (!session || !hijacked) return
  await pumpSession(session, hijacked, {
    multiplexed: !tty,
    stdin: exec.openStdin,
    detachKeys: parseDetachKeys(exec.detachKeys),
    logger: call.logger,
  })
}

async function sayFailed(socket: Duplex, error: unknown, tty: boolean): Promise<void> {
  const message = Buffer.from(`${(error as Error).message}\r\n`)
  await headTaken(socket)
  if (!tty) socket.write(frameHeader('stdout', message.length))
  socket.end(message)
  socket.resume()
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
