// HTTP to the supervisor, on its unix socket: Docker's API, and Holdfast's own routes beneath /holdfast.
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'

import { HoldfastError, type ErrorCode } from '@holdfast/errors'

// An import reads every export to make a namespace of them, and so loads fetch, WebSocket and what belongs to them.
const { request } = process.getBuiltinModule('node:http')

/** As docker's client: DOCKER_API_VERSION speaks to an older engine. */
const apiVersion = `v${process.env['DOCKER_API_VERSION'] ?? '1.51'}`

/** A list becomes its key several times; what is undefined is left out. */
export type Query = Record<string, string | number | boolean | string[] | undefined>

export interface Call {
  query?: Query
  body?: unknown
  /** Sent as it is, chunked. */
  stream?: NodeJS.ReadableStream
  signal?: AbortSignal
}

export class EngineClient {
  readonly socketPath: string

  constructor(host: string) {
    const match = /^unix:\/\/(\/.*)$/.exec(host)
    if (!match) {
      throw new HoldfastError('HF_BAD_REQUEST', `invalid host "${host}"`, {
        hint: 'Give it as unix:///path/to/socket.',
      })
    }
    this.socketPath = match[1] as string
  }

  /** The answer's JSON; `undefined` for an empty answer. Throws the engine's error. */
  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const response = await this.open(method, path, call)
    const body = await text(response)
    return (body === '' ? undefined : JSON.parse(body)) as T
  }

  /** The answer as a stream. */
  async open(method: string, path: string, call: Call = {}): Promise<IncomingMessage> {
    const message = this.#request(method, path, call)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      message.on('response', resolve)
      message.on('error', (error) => reject(this.#unreachable(error)))
      send(message, call)
    })
    if ((response.statusCode ?? 500) >= 400) throw await engineError(response)
    return response
  }

  /** Takes the connection over for attach and exec: what follows on the socket is the container's stream. */
  async hijack(
    path: string,
    call: Call = {},
  ): Promise<{ socket: Socket; head: Buffer; contentType: string }> {
    const message = this.#request('POST', path, call, { Connection: 'Upgrade', Upgrade: 'tcp' })
    return await new Promise((resolve, reject) => {
      message.on('upgrade', (response, socket, head) =>
        resolve({ socket: socket as Socket, head, contentType: response.headers['content-type'] ?? '' }),
      )
      message.on('response', (response) => void engineError(response).then(reject, reject))
      message.on('error', (error) => reject(this.#unreachable(error)))
      send(message, call)
    })
  }

  #request(method: string, path: string, call: Call, headers: Record<string, string> = {}): ClientRequest {
    const query = new URLSearchParams()
    for (const [key, value] of Object.entries(call.query ?? {})) {
      if (Array.isArray(value)) value.forEach((item) => query.append(key, item))
      else if (value !== undefined) query.set(key, String(value))
    }
    const type = call.stream ? 'application/x-tar' : 'application/json'
    return request({
      socketPath: this.socketPath,
      method,
      // Holdfast's own routes have no version.
      path: `${path.startsWith('/holdfast/') ? '' : `/${apiVersion}`}${path}${query.size > 0 ? `?${query.toString()}` : ''}`,
      headers: call.body !== undefined || call.stream ? { 'Content-Type': type, ...headers } : headers,
      ...(call.signal ? { signal: call.signal } : {}),
    })
  }

  #unreachable(error: Error): Error {
    if (!('code' in error) || !['ENOENT', 'ECONNREFUSED', 'EACCES'].includes(String(error.code))) return error
    const hint =
      error.code === 'EACCES'
        ? 'Run as root, or as a member of the group that owns the socket.'
        : 'Start it with `hold supervisor`, or name its socket with -H unix:///path or HOLDFAST_HOST.'
    return new HoldfastError(
      'HF_INTERNAL',
      `no supervisor answers on ${this.socketPath} (${String(error.code)})`,
      {
        hint,
        cause: error,
      },
    )
  }
}

function send(message: ClientRequest, call: Call): void {
  if (call.stream) {
    call.stream.pipe(message)
    return
  }
  if (call.body === undefined) {
    message.end()
    return
  }
  const body = JSON.stringify(call.body)
  message.setHeader('Content-Length', Buffer.byteLength(body))
  message.end(body)
}

async function engineError(response: IncomingMessage): Promise<HoldfastError> {
  const body = await text(response)
  let parsed: { message?: string; hint?: string; code?: ErrorCode }
  try {
    parsed = JSON.parse(body) as typeof parsed
  } catch {
    parsed = { message: body || `the supervisor answered ${response.statusCode}` }
  }
  return new HoldfastError(
    parsed.code ?? statusCodes[response.statusCode ?? 500] ?? 'HF_INTERNAL',
    parsed.message ?? '',
    {
      hint: parsed.hint,
      details: { status: response.statusCode },
    },
  )
}

/** For an engine that sends no code of ours (dockerd). */
const statusCodes: Record<number, ErrorCode> = {
  400: 'HF_BAD_REQUEST',
  404: 'HF_CONTAINER_NOT_FOUND',
  501: 'HF_NOT_IMPLEMENTED',
}
