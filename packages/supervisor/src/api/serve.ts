import { HoldfastError } from '@holdfast/errors'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Engine } from '../engine/engine.ts'
import { Dispatcher } from './dispatch.ts'
import { errorAnswer } from './error-answer.ts'
import { groupId, listen, parseHost } from './listen.ts'
import { mayConnect, peerUid } from './peer.ts'
import type { RequestCall } from './request-call.ts'
import type { Logger } from './route.ts'
import { allRoutes } from './routes/index.ts'
import { rawHead, standardHeaders } from './standard-headers.ts'

/** What is served, and where. */
export interface ServeOptions {
  engine: Engine
  /** `unix:///run/holdfast/holdfast.sock`, `fd://3`. */
  hosts: string[]
  logger: Logger
  /** The version of Holdfast, for the Server header and /version. */
  version: string
  /** Group that may use the unix sockets besides root. */
  group?: string | undefined
}

/** A server that is listening. */
export interface ApiServer {
  /** Stops accepting, ends idle connections and streams, and takes the socket files away. Containers go on. */
  close(): Promise<void>
}

/** Serves Docker's Engine API, and Holdfast's own routes under /holdfast, on every host given. Needs root. */
export async function serveApi(options: ServeOptions): Promise<ApiServer> {
  const targets = options.hosts.map(parseHost)
  const group = groupId(options.group)
  const dispatcher = new Dispatcher(
    { engine: options.engine, logger: options.logger, release: options.version },
    allRoutes,
  )
  const servers: ConnectionServer[] = []
  try {
    for (const target of targets) {
      const server = new ConnectionServer(dispatcher, {
        group,
        release: options.version,
        logger: options.logger,
      })
      await listen(server.http, target, { group: options.group })
      servers.push(server)
    }
  } catch (error) {
    await Promise.all(servers.map((server) => server.close()))
    throw error
  }
  return {
    close: async () => {
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}

interface ConnectionOptions {
  group: number | undefined
  release: string
  logger: Logger
}

/** One listening socket with its connections. */
class ConnectionServer {
  readonly http: Server
  readonly #options: ConnectionOptions
  readonly #connections = new Set<Socket>()
  /** Requests that may take their connection over: bytes that aren't HTTP belong to their stream. */
  readonly #hijackable = new WeakMap<Duplex, RequestCall>()

  constructor(dispatcher: Dispatcher, options: ConnectionOptions) {
    this.#options = options
    this.http = createServer({
      // Idle connections stay: a client that reuses one must never find it closed under it.
      keepAliveTimeout: 0,
      headersTimeout: 60_000,
      // dockerode repeats the create body in the query.
      maxHeaderSize: 256 * 1024,
      // Images are uploaded for as long as it takes; JSON bodies have a limit of their own.
      requestTimeout: 0,
      shouldUpgradeCallback: (request) => dispatcher.isUpgrade(request),
    })
    // HTTP's own listener runs only for peers that may connect: of the others no byte is parsed.
    const [serveHttp] = this.http.listeners('connection') as ((socket: Socket) => void)[]
    this.http.removeAllListeners('connection')
    this.http.on('connection', (socket: Socket) => {
      if (this.#admit(socket)) serveHttp?.call(this.http, socket)
    })
    this.http.on('request', (request: IncomingMessage, response: ServerResponse) => {
      const call = dispatcher.request(request, response)
      if (call) this.#hijackable.set(request.socket, call)
    })
    this.http.on('upgrade', (request, socket, head) => dispatcher.upgrade(request, socket, head))
    this.http.on('clientError', (error: ParserError, socket) => this.#onClientError(error, socket))
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.http.close(() => resolve())
      for (const socket of this.#connections) socket.destroy()
    })
  }

  #admit(socket: Socket): boolean {
    this.#connections.add(socket)
    socket.once('close', () => this.#connections.delete(socket))
    let uid: number
    try {
      uid = peerUid(socket)
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'cannot tell who connected; refused')
      socket.destroy()
      return false
    }
    if (mayConnect(uid, this.#options)) return true
    this.#options.logger.warn({ uid }, 'refused a connection')
    socket.on('error', () => socket.destroy())
    this.#answerRaw(
      socket,
      '403 Forbidden',
      new HoldfastError('HF_FORBIDDEN', `user ${uid} may not use this engine`),
    )
    return false
  }

  #onClientError(error: ParserError, socket: Duplex): void {
    const call = this.#hijackable.get(socket)
    if (call && error.rawPacket) {
      call.early.push(error.rawPacket.subarray(error.bytesParsed ?? 0))
      return
    }
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    const cause = new HoldfastError('HF_BAD_REQUEST', `malformed request: ${error.message}`)
    const tooLong = error.code === 'HPE_HEADER_OVERFLOW'
    this.#answerRaw(socket, tooLong ? '431 Request Header Fields Too Large' : '400 Bad Request', cause)
  }

  #answerRaw(socket: Duplex, status: string, error: HoldfastError): void {
    const body = JSON.stringify(errorAnswer(error).body)
    const headers = {
      ...standardHeaders(this.#options.release),
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(body)),
      Connection: 'close',
    }
    socket.end(rawHead(status, headers) + body, () => socket.destroy())
  }
}

interface ParserError extends Error {
  code?: string
  rawPacket?: Buffer
  bytesParsed?: number
}
