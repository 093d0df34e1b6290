/** A connection to systemd's manager: by its own socket, which root may use, or the system bus. */
import type { Socket } from 'node:net'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { decodeMessage, encodeMessage, type DbusMessage, type DbusValue } from './dbus-message.ts'

export interface DbusCall {
  path: string
  interface: string
  member: string
  destination: string
  /** Of the body. */
  signature?: string
  body?: DbusValue[]
}

/** An answer that is an error. `name` is D-Bus's, such as org.freedesktop.systemd1.UnitExists. */
export class DbusError extends Error {
  constructor(name: string, message: string) {
    super(message)
    this.name = name
  }
}

const privateSocket = '/run/systemd/private'
const systemBus = '/run/dbus/system_bus_socket'
const timeoutMs = 30_000

export class DbusConnection {
  /** It goes through a bus, where signals come only to those who ask for them. */
  readonly bus: boolean
  readonly #socket: Socket
  #bytes: Buffer = Buffer.alloc(0)
  #serial = 0
  #broken: Error | undefined
  readonly #expected = new Set<{ wants: (message: DbusMessage) => boolean; settle: Settle }>()

  private constructor(socket: Socket, bus: boolean) {
    this.#socket = socket
    this.bus = bus
    socket.on('data', (data) => this.#take(data as Buffer))
    socket.on('error', (error) => this.#break(error))
    socket.on('close', () => this.#break(new HoldfastError('HF_PROTOCOL', 'systemd closed the connection')))
  }

  /** Throws HF_UNSUPPORTED where neither is to be had. */
  static async open(): Promise<DbusConnection> {
    const { createConnection } = await import('node:net')
    for (const path of [privateSocket, systemBus]) {
      const socket = createConnection(path)
      try {
        await authenticate(socket)
      } catch (error) {
        socket.destroy()
        if (!hasCode(error, 'ENOENT', 'ECONNREFUSED', 'EACCES')) throw error
        continue
      }
      const connection = new DbusConnection(socket, path === systemBus)
      if (connection.bus) await connection.call(hello)
      return connection
    }
    throw new HoldfastError(
      'HF_UNSUPPORTED',
      `systemd listens neither at ${privateSocket} nor at ${systemBus}`,
    )
  }

  /** The answer's body. Rejects with a DbusError, or HF_TIMEOUT after 30 seconds. */
  async call({ signature = '', body = [], ...what }: DbusCall): Promise<DbusValue[]> {
    const serial = ++this.#serial
    const answer = this.expect(`answer ${what.member}`, (message) => message.replySerial === serial)
    this.#socket.write(encodeMessage({ type: 'call', serial, body, ...what }, signature))
    const message = await answer
    if (message.type !== 'error') return message.body
    const [text] = message.body
    throw new DbusError(message.error ?? '', typeof text === 'string' ? text : (message.error ?? 'an error'))
  }

  /** The first message from now on that `wants` picks; `what` systemd is to do, for the error. */
  expect(what: string, wants: (message: DbusMessage) => boolean): Promise<DbusMessage> {
    return new Promise((resolve, reject) => {
      if (this.#broken) return reject(this.#broken)
      const expected = { wants, settle }
      const timer = setTimeout(
        () => settle(new HoldfastError('HF_TIMEOUT', `systemd did not ${what} in time`)),
        timeoutMs,
      )
      const all = this.#expected
      all.add(expected)
      function settle(outcome: DbusMessage | Error): void {
        clearTimeout(timer)
        all.delete(expected)
        if (outcome instanceof Error) reject(outcome)
        else resolve(outcome)
      }
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(data: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, data])
    try {
      for (let next = decodeMessage(this.#bytes); next; next = decodeMessage(this.#bytes)) {
        const { message, length } = next
        this.#bytes = this.#bytes.subarray(length)
        for (const { wants, settle } of this.#expected) if (wants(message)) settle(message)
      }
    } catch (error) {
      this.#break(error as Error)
    }
  }

  #break(error: Error): void {
    this.#broken ??= error
    for (const { settle } of this.#expected) settle(error)
    this.#socket.destroy()
  }
}

type Settle = (outcome: DbusMessage | Error) => void

const hello: DbusCall = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'Hello',
}

/**
 * SASL EXTERNAL: the kernel tells the other end who we are; lines of text, and messages from then on. BEGIN goes with
 * the first line, as systemd's own library sends it: what comes with BEGIN in one read, systemd leaves unread until
 * more comes.
 */
function authenticate(socket: Socket): Promise<void> {
  const uid = Buffer.from(String(process.geteuid!())).toString('hex')
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => socket.write(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`))
    socket.once('data', (line) => {
      if (!line.toString('latin1').startsWith('OK '))
        return reject(new HoldfastError('HF_PROTOCOL', `systemd refuses: ${line.toString('latin1').trim()}`))
      socket.off('error', reject)
      resolve()
    })
  })
}
