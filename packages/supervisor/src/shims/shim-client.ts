/** One shim, as the supervisor sees it: requests and events over `<dir>/shim.sock`. */
import { EventEmitter } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { hasCode, HoldfastError } from '@holdfast/errors'
import { decodeChannelFrame, maxFrame, parseShimFrame, protocolVersion } from '@holdfast/protocol'
import type { ExecSpec, Method, NamespaceHandle, Requests, ShimEvent, ShimState } from '@holdfast/protocol'
import { killPeer } from './kill-peer.ts'
import { readRefusal } from './refusal.ts'
import { ShimAttachment, type AttachQuery } from './shim-attachment.ts'
import { SilenceWatch } from './silence-watch.ts'

export interface ConnectOptions {
  /** The shim's directory. */
  dir: string
  /** `token` of its shim.json. */
  token: string
  /** How long a shim that isn't listening yet may take. */
  deadlineMs: number
  /** Of the shim that is awaited: once it has ended there is nothing to wait for. */
  pid?: number | undefined
}

/** Every so many attempts it is looked whether the awaited process is still there, which costs as much as a few of them. */
const looks = 16

/**
 * How long one that listens may take to say hello: the machine may be busy with something else. Who takes longer hangs, and is
 * killed, since no other can take its container over while it lives.
 */
const answerMs = 20_000

interface ShimClientEvents {
  event: [ShimEvent]
  /** The connection is gone; `error` says why where it wasn't `close()`. All open requests have failed with it. */
  close: [error: HoldfastError | undefined]
}

interface OpenRequest {
  resolve(result: unknown): void
  reject(error: Error): void
}

/** Nobody listens there yet, or the shim before this one has just been killed with our connection in its backlog. */
const notYet = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'HF_SHIM_LOST']

/** Connects and says hello, retrying until the deadline. Throws HF_SHIM_LOST, or what the shim answered. */
export async function connectShim(options: ConnectOptions): Promise<ShimClient> {
  const deadline = performance.now() + options.deadlineMs
  for (let tries = 0; ; tries++) {
    const pause = tries < 50 ? 1 : 25 // a forked shim listens within milliseconds, a plain one within a hundred
    let cause: unknown
    // A look at the file costs a fiftieth of an attempt, and the shim needs the processor more than we do.
    if (existsSync(`${options.dir}/shim.sock`)) {
      try {
        return await ShimClient.connect(options, answerMs)
      } catch (error) {
        if (!hasCode(error, ...notYet)) throw error
        cause = error
      }
    }
    if (performance.now() + pause > deadline || (tries % looks === looks - 1 && hasEnded(options.pid))) {
      throw new HoldfastError('HF_SHIM_LOST', `no shim answers at ${options.dir}`, { cause, hint: lostHint })
    }
    await sleep(pause)
  }
}

/** Or nobody has reaped it yet. */
function hasEnded(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return true
    throw error
  }
}

export class ShimClient extends EventEmitter<ShimClientEvents> {
  readonly dir: string
  readonly #socket: WebSocket
  readonly #silence: SilenceWatch
  readonly #open = new Map<number, OpenRequest>()
  /** Events that came before anybody listened: `exited` may follow hello's answer in the same packet. */
  #early: ShimEvent[] | undefined = []
  readonly #channels = new Map<number, ShimAttachment>()
  #nextId = 0
  #nextChannel = 0
  #hello: ShimState | undefined
  readonly #netns = Promise.withResolvers<NamespaceHandle>()
  #closing = false
  readonly #unmounted = Promise.withResolvers<void>()
  readonly #gone = Promise.withResolvers<void>()

  private constructor(options: ConnectOptions, { socket, connection }: ShimSocket) {
    super()
    this.dir = options.dir
    this.#socket = socket
    this.#silence = new SilenceWatch(socket, () => {
      killPeer(connection)
      socket.terminate() // and another takes over
    })
    this.#netns.promise.catch(() => {}) // most callers never ask
    socket.on('message', (data: Buffer, isBinary) => {
      this.#silence.heard()
      try {
        if (isBinary) this.#onBinary(data)
        else this.#onMessage(data.toString())
      } catch {
        socket.terminate() // a shim that breaks the protocol is as good as lost, and takes nobody with it
      }
    })
    socket.on('close', () => this.#onClose())
    socket.on('error', () => {}) // 'close' follows
    this.on('newListener', (name) => {
      if (name === 'event') queueMicrotask(() => this.#flushEarly())
    })
  }

  static async connect(options: ConnectOptions, timeoutMs: number): Promise<ShimClient> {
    const opening = openSocket(options)
    const { socket, connection } = opening
    const client = new ShimClient(options, opening)
    let late = false
    const timer = setTimeout(() => {
      late = true
      killPeer(connection)
      socket.terminate()
    }, timeoutMs)
    try {
      await opened(socket)
      const { state } = await client.request('hello', { protocol: protocolVersion })
      client.#hello = state
      if (state.namespaces.net) client.#netns.resolve(state.namespaces.net)
      return client
    } catch (error) {
      socket.terminate()
      if (!late) throw error
      const message = `the shim at ${options.dir} has not answered for ${timeoutMs} ms`
      throw new HoldfastError('HF_SHIM_LOST', message, { cause: error, hint: lostHint })
    } finally {
      clearTimeout(timer)
    }
  }

  /** What the shim said of itself on hello; later changes come as events. */
  get hello(): ShimState {
    if (!this.#hello) throw new HoldfastError('HF_INTERNAL', 'hello has not been answered')
    return this.#hello
  }

  get pid(): number {
    return this.hello.shimPid
  }

  /** After `delete`: settles when the container's root is unmounted, or the connection is gone. */
  get unmounted(): Promise<void> {
    return this.#unmounted.promise
  }

  /** Settles when the connection is gone and everybody was told so. */
  get gone(): Promise<void> {
    return this.#gone.promise
  }

  /** The container's own network namespace, as soon as there is one. Rejects when the shim goes before. */
  get netns(): Promise<NamespaceHandle> {
    return this.#netns.promise
  }

  /** Throws what the shim answered, or HF_SHIM_LOST when it goes before it answers. */
  request<M extends Method>(method: M, params: Requests[M]['params']): Promise<Requests[M]['result']> {
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.reject(lost(this.dir))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve: resolve as (result: unknown) => void, reject })
      this.#silence.begin()
      this.#socket.send(JSON.stringify({ id, method, params }))
    })
  }

  /** A client of the container's own stdio. */
  async attach({ logs, ...wanted }: AttachQuery): Promise<ShimAttachment> {
    const streams = streamsOf(wanted)
    const { channel, attachment } = this.#openChannel()
    await this.#orClose(attachment, this.request('attach', { channel, ...streams, logs: logs === true }))
    return attachment
  }

  /**
   * This is likely to be started next; without `spec` it may be like the last. Nothing depends on it, and the start says what
   * is wrong with it.
   */
  prepareExec(execId: string, spec?: ExecSpec): void {
    this.request('exec.prepare', { execId, ...(spec && { spec }) }).catch(() => {})
  }

  /** Starts a process in the container; with `streams` its stdio comes with it, from the first byte on. */
  async exec(
    execId: string,
    spec: ExecSpec,
    streams?: Omit<AttachQuery, 'logs'>,
  ): Promise<{ pid: number; attachment: ShimAttachment | undefined }> {
    if (!streams) return { ...(await this.request('exec.start', { execId, spec })), attachment: undefined }
    const { channel, attachment } = this.#openChannel()
    const attach = { channel, ...streamsOf(streams) }
    const { pid } = await this.#orClose(attachment, this.request('exec.start', { execId, spec, attach }))
    return { pid, attachment }
  }

  /** Ends the connection, and every attachment with it. */
  close(): void {
    this.#closing = true
    this.#socket.close(1000)
  }

  /** The shim is about to end it: once those who are attached were sent what there is for them. */
  release(): void {
    this.#closing = true
  }

  #openChannel(): { channel: number; attachment: ShimAttachment } {
    const channel = this.#nextChannel++
    const attachment = new ShimAttachment(channel, (frame) => this.#socket.send(frame, { binary: true }))
    this.#channels.set(channel, attachment)
    void attachment.closed.then(() => this.#channels.delete(channel))
    return { channel, attachment }
  }

  async #orClose<T>(attachment: ShimAttachment, request: Promise<T>): Promise<T> {
    try {
      return await request
    } catch (error) {
      attachment.close()
      throw error
    }
  }

  #onBinary(data: Buffer): void {
    const frame = decodeChannelFrame(data)
    this.#channels.get(frame.channel)?.receive(frame)
  }

  #onMessage(text: string): void {
    const frame = parseShimFrame(text)
    if ('event' in frame) {
      if (frame.event === 'born') this.#netns.resolve(frame.net)
      else if (frame.event === 'unmounted') this.#unmounted.resolve()
      else if (this.#early) this.#early.push(frame)
      else this.emit('event', frame)
      return
    }
    const request = this.#open.get(frame.id)
    this.#open.delete(frame.id)
    if (this.#open.size === 0) this.#silence.end()
    if ('error' in frame) request?.reject(HoldfastError.fromJSON(frame.error))
    else request?.resolve(frame.result)
  }

  #flushEarly(): void {
    const early = this.#early ?? []
    this.#early = undefined
    for (const event of early) this.emit('event', event)
  }

  #onClose(): void {
    for (const request of this.#open.values()) request.reject(lost(this.dir))
    this.#open.clear()
    this.#silence.end()
    this.#netns.reject(lost(this.dir))
    this.#unmounted.resolve()
    for (const attachment of this.#channels.values()) attachment.lost(lost(this.dir))
    this.emit('close', this.#closing ? undefined : lost(this.dir))
    this.#gone.resolve()
  }
}

/** What is true for whoever asked. */
const lostHint = 'The container goes on without its shim, and another one takes over: try again in a moment.'

function lost(dir: string): HoldfastError {
  return new HoldfastError('HF_SHIM_LOST', `the shim at ${dir} is gone`, { hint: lostHint })
}

function streamsOf({ stdin, stdout, stderr }: Omit<AttachQuery, 'logs'>) {
  return { stdin: stdin === true, stdout: stdout === true, stderr: stderr === true }
}

interface ShimSocket {
  socket: WebSocket
  /** What it goes over. */
  connection: Socket
}

function openSocket({ dir, token }: { dir: string; token: string }): ShimSocket {
  const connection = connect(`${dir}/shim.sock`)
  // A URL of ws's own `ws+unix:` form would break at a colon in the directory's name.
  const socket = new WebSocket('ws://shim/control', {
    createConnection: () => connection,
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
    maxPayload: maxFrame,
    skipUTF8Validation: true,
  })
  return { socket, connection }
}

function opened(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new HoldfastError('HF_SHIM_LOST', 'the shim hung up')))
    socket.once('unexpected-response', (_request, response) => {
      void readRefusal(response)
        .then(reject, reject)
        .finally(() => socket.terminate())
    })
  })
}
