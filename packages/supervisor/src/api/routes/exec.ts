import { hasCode } from '@holdfast/errors'
import type { AttachSession } from '../../engine/engine.ts'
import { parseDetachKeys } from '../detach-keys.ts'
import { terminalSize } from '../query.ts'
import type { Call, Route } from '../route.ts'
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
  const session = await startAttached(call, exec.id, options)
  if (!session) return
  await pumpSession(session, call.hijack(streamType(call.api, options.tty)), {
    multiplexed: !options.tty,
    stdin: exec.openStdin,
    detachKeys: parseDetachKeys(undefined),
    logger: call.logger,
  })
}

/**
 * A command that isn't there or can't be executed is an exec that ended with 127 or 126, as with dockerd: the reason
 * comes over the stream, and the client reads the exit code from the exec. undefined then.
 */
async function startAttached(call: Call, id: string, options: ExecStart): Promise<AttachSession | undefined> {
  try {
    return await call.engine.execStart(id, options)
  } catch (error) {
    if (!hasCode(error, 'HF_COMMAND_NOT_FOUND', 'HF_COMMAND_NOT_EXECUTABLE')) throw error
    const message = Buffer.from(`${(error as Error).message}\r\n`)
    const { socket } = call.hijack(streamType(call.api, options.tty))
    if (!options.tty) socket.write(frameHeader('stdout', message.length))
    socket.end(message)
    socket.resume()
    return undefined
  }
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
    CanRemove: !exec.running && exec.exitCode !== null,
    ContainerID: exec.containerId,
    DetachKeys: '',
    Pid: exec.pid,
  })
}
