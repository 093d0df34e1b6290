/**
 * A netlink socket (netlink(7)) and the codecs of its messages and attributes.
 *
 * The kernel answers a request inside the system call that sends it, so sending may take as long as the
 * kernel's network lock is held by someone else (a dying namespace: 20 ms). Requests are therefore written by
 * Node's thread pool, and their answers, which are queued by then, read at once. The codecs are the `netlink`
 * package's; its sockets are not used (docs/decisions/0001).
 */
import { close, closeSync, openSync, read, write, writeSync } from 'node:fs'
import { errnoName, Mutex, openNetlinkSocketIn, readFdInto, setNonblocking } from '@holdfast/core'
import { SyscallError } from '@holdfast/errors'
import { formatMessage, parseError, parseMessages, type NetlinkMessage } from 'netlink/dist/structs.js'
import { padded } from './netlink-attributes.ts'

export const NETLINK_ROUTE = 0
export const NETLINK_SOCK_DIAG = 4
export const NETLINK_NETFILTER = 12

const NLMSG_ERROR = 2
const NLMSG_DONE = 3

export const NLM_F_REQUEST = 0x1
export const NLM_F_ACK = 0x4
export const NLM_F_DUMP = 0x300
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
const NLM_F_DUMP_INTR = 0x10

export interface Request {
  type: number
  /** Beyond NLM_F_REQUEST and NLM_F_ACK. */
  flags?: number
  payload: Uint8Array[]
  /** What it is, for the error: `RTM_NEWLINK hf0`. */
  what: string
  /** errno names that are as good as success: deleting what is gone. */
  tolerate?: string[]
  /** Advice by errno name. */
  hints?: Partial<Record<string, string>>
  /** The message frames a batch (NFNL_MSG_BATCH_BEGIN): the kernel sends no answer of its own. */
  unanswered?: boolean
}

export interface Reply {
  type: number
  data: Buffer
}

/** The largest part of a dump, by the kernel's own choice, is 32 KiB. */
const receiveBytes = 65_536
/** Answers are read and copied within one synchronous call, so all sockets share this. */
const receiveBuffer = Buffer.allocUnsafeSlow(receiveBytes)

export class NetlinkSocket {
  readonly #fd: number
  readonly #turns: Mutex
  /** Waits for the kernel on this thread. */
  readonly #blocking: boolean
  #sequence = 1
  #closed = false
  #port = 0

  constructor(fd: number, turns: Mutex, blocking = false) {
    this.#fd = fd
    this.#turns = turns
    this.#blocking = blocking
  }

  /**
   * `netns`: a descriptor of the network namespace; absent: the caller's. Sockets that share `turns` keep at
   * most one thread of the pool waiting for the kernel's lock, which lets in one of them at a time anyway.
   */
  static open(protocol: number, netns?: number, turns = new Mutex()): NetlinkSocket {
    return new NetlinkSocket(openNetlinkDescriptor(protocol, netns), turns)
  }

  /** For a process that has nothing else to do meanwhile: no thread is started, and none is waited for. */
  static openBlocking(protocol: number, netns?: number): NetlinkSocket {
    return new NetlinkSocket(openNetlinkDescriptor(protocol, netns), new Mutex(), true)
  }

  /**
   * Sends the requests with one system call, in order, and resolves with each one's replies (empty for a
   * plain acknowledgement). The kernel goes on after a failing one; the first failure that is not tolerated
   * is thrown.
   */
  request(requests: Request[]): Promise<Reply[][]> {
    return this.#exclusive(async () => {
      const first = this.#sequence
      this.#sequence += requests.length
      await this.#send(requests.map((request, index) => frame(request, first + index)))
      return this.#collect(requests, first)
    })
  }

  /** Every reply of a dump. One that changed meanwhile (NLM_F_DUMP_INTR) is read again. */
  dump(request: Request): Promise<Reply[]> {
    return this.#exclusive(async () => {
      for (let attempt = 0; attempt < 8; attempt++) {
        const replies = await this.#dumpOnce(request)
        if (replies) return replies
      }
      throw netlinkError(11, request) // EAGAIN: it never held still
    })
  }

  /** The socket's own address, which notifications bear that it caused; 0 before the first answer. */
  get port(): number {
    return this.#port
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    void this.#turns.idle().then(() => close(this.#fd))
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run(() => {
      if (this.#closed) throw new SyscallError({ errno: 9, code: 'EBADF', syscall: 'sendmsg(netlink)' })
      return work()
    })
  }

  async #send(frames: Buffer[]): Promise<void> {
    const data = frames.length === 1 ? frames[0]! : Buffer.concat(frames)
    if (this.#blocking) writeSync(this.#fd, data)
    else await writeByPool(this.#fd, data)
  }

  #collect(requests: Request[], first: number): Reply[][] {
    const replies: Reply[][] = requests.map(() => [])
    const failures: (SyscallError | undefined)[] = requests.map(() => undefined)
    let open = requests.filter(({ unanswered }) => !unanswered).length
    while (open > 0) {
      const messages = this.#receive()
      if (!messages) break
      for (const message of messages) {
        const index = message.seq - first
        const request = requests[index]
        if (!request) continue // an answer to an earlier request that was given up
        this.#port = message.port
        if (message.type !== NLMSG_ERROR) {
          replies[index]!.push({ type: message.type, data: Buffer.from(message.data) })
          continue
        }
        if (!request.unanswered) open--
        failures[index] ??= failure(message, request)
      }
    }
    const failed = failures.find((error) => error !== undefined)
    if (failed) throw failed
    if (open > 0) throw netlinkError(71, requests[0]!) // EPROTO: answers are missing
    return replies
  }

  /** The messages of one datagram; undefined when nothing is queued. */
  #receive(): NetlinkMessage[] | undefined {
    const length = readFdInto(this.#fd, receiveBuffer)
    return length === undefined ? undefined : parseMessages(receiveBuffer.subarray(0, length))
  }

  async #dumpOnce(request: Request): Promise<Reply[] | undefined> {
    const sequence = this.#sequence++
    await this.#send([frame({ ...request, flags: (request.flags ?? 0) | NLM_F_DUMP }, sequence, 0)])
    const buffer = this.#blocking ? receiveBuffer : Buffer.allocUnsafe(receiveBytes)
    const replies: Reply[] = []
    let interrupted = false
    for (;;) {
      for (const message of parseMessages(buffer.subarray(0, await this.#readPart(buffer)))) {
        if (message.seq !== sequence) continue
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true
        if (message.type === NLMSG_DONE) {
          // A dump that fails halfway ends like any other, and says so here alone.
          const errno = message.data.length < 4 ? 0 : message.data.readInt32LE(0)
          if (errno < 0) throwUnlessTolerated(netlinkError(-errno, request), request)
          return interrupted ? undefined : replies
        }
        if (message.type === NLMSG_ERROR) {
          const error = failure(message, request)
          if (error) throw error
          return replies
        }
        replies.push({ type: message.type, data: Buffer.from(message.data) })
      }
    }
  }

  /** Reading makes the kernel produce the next part of a dump, under its lock: by the pool, where it may wait. */
  async #readPart(buffer: Buffer): Promise<number> {
    if (this.#blocking) return readFdInto(this.#fd, buffer) ?? 0
    return await readByPool(this.#fd, buffer)
  }
}

function writeByPool(fd: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    write(fd, data, 0, data.length, null, (error) => (error ? reject(error) : resolve()))
  })
}

function readByPool(fd: number, buffer: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, 0, buffer.length, null, (error, length) => (error ? reject(error) : resolve(length)))
  })
}

/** A socket that never waits. `netns`: a descriptor; absent: the namespace that this process is in. */
export function openNetlinkDescriptor(protocol: number, netns: number | undefined): number {
  const own = netns === undefined ? openSync('/proc/thread-self/ns/net', 'r') : undefined
  try {
    const fd = openNetlinkSocketIn(netns ?? own!, protocol)
    setNonblocking(fd)
    return fd
  } finally {
    if (own !== undefined) closeSync(own)
  }
}

/** The bytes of a message. */
export function frame(request: Request, seq: number, acknowledge = NLM_F_ACK): Buffer {
  const flags = NLM_F_REQUEST | (request.unanswered ? 0 : acknowledge) | (request.flags ?? 0)
  return padded(formatMessage({ type: request.type, flags, seq, port: 0, data: request.payload }))
}

function failure(message: NetlinkMessage, request: Request): SyscallError | undefined {
  const { errno } = parseError(message.data, message.flags)
  if (errno === 0) return undefined
  const error = netlinkError(-errno, request)
  return request.tolerate?.includes(error.code) ? undefined : error
}

function throwUnlessTolerated(error: SyscallError, request: Request): void {
  if (!request.tolerate?.includes(error.code)) throw error
}

function netlinkError(errno: number, request: Request): SyscallError {
  const code = errnoName(errno)
  const hint =
    request.hints?.[code] ?? (code === 'EPERM' ? 'CAP_NET_ADMIN is needed: run Holdfast as root.' : undefined)
  return new SyscallError({ errno, code, syscall: request.what, hint })
}
