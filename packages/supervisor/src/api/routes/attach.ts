import { HoldfastError } from '@holdfast/errors'
import { createWebSocketStream, WebSocketServer, type WebSocket } from 'ws'
import type { AttachSession } from '../../engine/engine.ts'
import { parseDetachKeys } from '../detach-keys.ts'
import { flag, terminalSize, text } from '../query.ts'
import type { Call, Route } from '../route.ts'
import { pumpSession } from '../session-pump.ts'
import { streamType } from '../stream-frame.ts'
import { UpgradeCall } from '../upgrade-call.ts'

export const attachRoutes: Route[] = [
  { method: 'POST', path: '/containers/{id}/attach', hijacks: true, handle: attach },
  { method: 'GET', path: '/containers/{id}/attach/ws', webSocket: true, handle: attachWebSocket },
  { method: 'POST', path: '/containers/{id}/resize', handle: resize },
]

interface Attachment {
  session: AttachSession
  stdin: boolean
  closesStdin: boolean
  detachKeys: Buffer
  onDetach: () => void
}

async function attach(call: Call): Promise<void> {
  await call.json() // some clients repeat the query as a body, and it must not end up in the container
  const { session, ...input } = await openAttachment(call)
  const { tty } = session
  const options = { multiplexed: !tty, ...input, logger: call.logger }
  await pumpSession(session, call.hijack(streamType(call.api, tty)), options)
}

async function openAttachment(call: Call): Promise<Attachment> {
  const detachKeys = parseDetachKeys(text(call.query, 'detachKeys'))
  const record = call.engine.get(call.params['id'] ?? '')
  // Without OpenStdin the container's input is /dev/null; what the client sends goes nowhere, as with dockerd.
  const stdin = flag(call.query, 'stdin') && record.config.OpenStdin
  const session = await call.engine.attach(record.id, {
    stdin,
    stdout: flag(call.query, 'stdout'),
    stderr: flag(call.query, 'stderr'),
    logs: flag(call.query, 'logs'),
    stream: flag(call.query, 'stream'),
  })
  return {
    session,
    stdin,
    closesStdin: record.config.StdinOnce && !record.config.Tty,
    detachKeys,
    onDetach: () => call.engine.announce(record.id, 'detach'),
  }
}

const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1024 * 1024 })

/** The same stream in a WebSocket: binary messages, stdout and stderr mixed, no frame headers. */
async function attachWebSocket(call: Call): Promise<void> {
  if (!(call instanceof UpgradeCall)) {
    throw new HoldfastError('HF_BAD_REQUEST', 'this address speaks WebSocket: ask for an upgrade')
  }
  const { session, ...input } = await openAttachment(call)
  const socket = await new Promise<WebSocket | undefined>((resolve) => {
    // A bad handshake is answered by `ws` itself, with 400, and closes the connection.
    call.socket.once('close', () => resolve(undefined))
    webSockets.handleUpgrade(call.request, call.socket, call.head, resolve)
  })
  if (!socket) {
    session.close()
    return
  }
  const stream = createWebSocketStream(socket)
  const options = { multiplexed: false, ...input, logger: call.logger }
  await pumpSession(session, { socket: stream, head: Buffer.alloc(0) }, options)
}

async function resize(call: Call): Promise<void> {
  await call.engine.resize(call.params['id'] ?? '', terminalSize(call.query))
  call.empty(200)
}
