/**
 * Kubernetes' Container Runtime Interface as a kubelet speaks it: gRPC (an HTTP/2 request with one message each way)
 * with protocol buffers, by field numbers of k8s.io/cri-api's runtime/v1/api.proto.
 */
import { connect, type ClientHttp2Session } from 'node:http2'
import { createConnection } from 'node:net'

/** By field number: a text, a number or truth value, a message, or several of them. */
export interface Fields {
  [field: number]: string | number | boolean | Fields | (string | Fields)[]
}

export class CriClient {
  readonly #session: ClientHttp2Session

  constructor(socket: string) {
    this.#session = connect('http://localhost', { createConnection: () => createConnection(socket) })
    this.#session.on('error', () => {}) // each call hears of it
  }

  /** Rejects with the message of a status other than OK. */
  call(method: string, request: Fields): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': `/runtime.v1.RuntimeService/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      })
      const chunks: Buffer[] = []
      let status: Record<string, unknown> = {}
      stream.on('response', (headers) => (status = { ...status, ...headers }))
      stream.on('trailers', (headers) => (status = { ...status, ...headers }))
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', reject)
      stream.on('close', () => {
        if (status['grpc-status'] === '0') return resolve(new Answer(Buffer.concat(chunks).subarray(5)))
        reject(new Error(`${method}: ${decodeURIComponent(String(status['grpc-message']))}`))
      })
      const message = encode(request)
      const head = Buffer.alloc(5) // not compressed, then the length
      head.writeUInt32BE(message.length, 1)
      stream.end(Buffer.concat([head, message]))
    })
  }

  close(): void {
    this.#session.destroy()
  }
}

/** A message that came. Fields that are not there have their type's zero value. */
export class Answer {
  readonly #fields = new Map<number, (Buffer | number)[]>()

  constructor(bytes: Buffer) {
    const varint = readVarints(bytes)
    while (varint.at < bytes.length) {
      const tag = varint.next()
      const wire = tag & 7
      const value = varint.next()
      const content = wire === 2 ? bytes.subarray(varint.at, varint.at + value) : value
      if (wire === 2) varint.at += value
      this.#fields.set(tag >> 3, [...(this.#fields.get(tag >> 3) ?? []), content])
    }
  }

  text(field: number): string {
    return (this.#fields.get(field)?.[0] ?? '').toString()
  }

  number(field: number): number {
    return Number(this.#fields.get(field)?.[0] ?? 0)
  }

  message(field: number): Answer {
    return new Answer((this.#fields.get(field)?.[0] as Buffer | undefined) ?? Buffer.alloc(0))
  }

  count(field: number): number {
    return this.#fields.get(field)?.length ?? 0
  }
}

function readVarints(bytes: Buffer): { at: number; next(): number } {
  return {
    at: 0,
    next() {
      let value = 0
      for (let factor = 1; ; factor *= 128) {
        const byte = bytes[this.at++]!
        value += (byte & 127) * factor
        if (byte < 128) return value
      }
    },
  }
}

function encode(fields: Fields): Buffer {
  const parts = Object.entries(fields).flatMap(([field, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => encodeField(Number(field), each)),
  )
  return Buffer.concat(parts)
}

function encodeField(field: number, value: string | number | boolean | Fields): Buffer {
  if (typeof value === 'number' || typeof value === 'boolean')
    return Buffer.concat([varint(field << 3), varint(Number(value))])
  const content = typeof value === 'string' ? Buffer.from(value) : encode(value)
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128)
  return Buffer.from([...bytes, value])
}
