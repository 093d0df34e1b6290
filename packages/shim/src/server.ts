/**
 * The shim's socket, `<dir>/shim.sock`: HTTP that only ever becomes WebSocket. Who may talk: a process of uid 0 (asked
 * of the kernel before a byte is read) that knows the token. A request with an Origin comes from a browser and never
 * gets in.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer, type WebSocket } from 'ws'
import { HoldfastError } from '@holdfast/errors'
import { maxSocketPath, peerCredentials, socketHandleFd } from '@holdfast/core'
import { errorToJson, maxFrame } from '@holdfast/protocol'

/** Connections at once; each costs a descriptor. */
const maxConnections = 512

export interface ShimServer {
  /** At once: takes the socket away and refuses new connections. Those that are open go on. */
  stopListening(): void
  /** Resolves when the connections that are open have been closed, by deadline at the latest. */
  close(deadlineMs: number): Promise<void>
}

/** `accept` is given every connection that may be made, and what it writes to. */
export async function serve(
  path: string,
  token: string,
  accept: (socket: WebSocket, wire: Duplex) => void,
): Promise<ShimServer> {
  checkSocketPath(path)
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxFrame })
  const server = createServer((_request, response) => response.writeHead(426).end())
  server.maxConnections = maxConnections
  server.headersTimeout = 5_000
  server.on('connection', refuseOthers)
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    try {
      authorize(request, token)
      checkPath(request.url ?? '')
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.on('error', () => webSocket.terminate()) // a malformed or oversized frame: only this client goes
        accept(webSocket, socket)
      })
    } catch (error) {
      refuse(socket, error)
    }
  })
  if (existsSync(path)) rmSync(path) // left by a shim that was killed: the lock on the directory is ours
  await listen(server, path)
  const closed = Promise.withResolvers<void>()
  return {
    stopListening: () => {
      if (server.listening) server.close(() => closed.resolve())
    },
    close: async (deadlineMs) => {
      if (server.listening) server.close(() => closed.resolve())
      await closeAll(server, sockets, { closed: closed.promise, deadlineMs })
    },
  }
}

export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) <= maxSocketPath && !path.includes('\0')) return
  throw new HoldfastError(
    'HF_INVALID_CONFIG',
    `a socket's path has at most ${maxSocketPath} bytes: ${path}`,
    {
      hint: 'Use a shorter --exec-root.',
    },
  )
}

function refuseOthers(socket: Socket): void {
  try {
    if (peerCredentials(socketHandleFd(socket)).uid === 0) return
  } catch {
    // It has gone again.
  }
  socket.destroy()
}

function authorize(request: IncomingMessage, token: string): void {
  if (request.headers.origin !== undefined) throw new HoldfastError('HF_FORBIDDEN', 'browsers are refused')
  const given = createHash('sha256')
    .update(request.headers.authorization ?? '')
    .digest()
  const expected = createHash('sha256').update(`Bearer ${token}`).digest()
  if (!timingSafeEqual(given, expected)) throw new HoldfastError('HF_FORBIDDEN', 'the token is wrong')
}

function checkPath(url: string): void {
  if (url !== '/control') throw new HoldfastError('HF_BAD_REQUEST', `no such path: ${url.slice(0, 128)}`)
}

function refuse(socket: Duplex, error: unknown): void {
  const json = errorToJson(error)
  const body = JSON.stringify(json)
  const status = json.code === 'HF_FORBIDDEN' ? '403 Forbidden' : '400 Bad Request'
  socket.on('error', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // bind(2) makes the socket with the umask of that moment, and Node binds within listen(): 0600 from birth.
    const umask = process.umask(0o177)
    try {
      server.once('error', reject)
      server.listen(path, () => {
        server.off('error', reject)
        resolve()
      })
    } finally {
      process.umask(umask)
    }
  })
}

async function closeAll(
  server: Server,
  sockets: WebSocketServer,
  { closed, deadlineMs }: { closed: Promise<void>; deadlineMs: number },
): Promise<void> {
  const timer = setTimeout(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
  }, deadlineMs)
  server.closeIdleConnections()
  await closed
  clearTimeout(timer)
}
