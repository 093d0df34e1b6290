/**
 * A resolver at an address inside a network namespace, by udp and tcp: what the table knows is answered from it, the
 * rest by upstream servers. Its sockets are given to it.
 */
import { answerQuery, failureReply } from './answer.ts'
import type { Transport, Upstream } from './forward.ts'
import { Forwarder } from './forwarder.ts'
import { frame, FrameReader } from './frames.ts'
import { openListening, type Listening, type ListeningDescriptors } from './listening.ts'
import { NameIndex } from './name-index.ts'
import { payloadLimit, readQuery, type Query } from './query.ts'
import type { ByteStream, Datagrams, DnsSockets } from './sockets.ts'
import type { DnsTable } from './table.ts'
import { cutAnswer, learnedAddresses, type LearnedAddresses } from './upstream-answer.ts'

/** What a resolver is made of. */
export interface DnsServerOptions {
  sockets: DnsSockets
  /** Descriptor of the network namespace that it answers in. It stays the caller's, and open as long as the server. */
  netns: number
  /** What clients ask at. Default: 127.0.0.11, port 53, which it need not listen on itself (see `DnsSockets`). */
  address?: string
  port?: number
  /**
   * Asked once, when all else is ready: gives duplicates of what an earlier server's `descriptors` named, or nothing. They
   * are taken over, and `address` and `port` are as there.
   */
  inherited?: () => ListeningDescriptors | undefined
  table: DnsTable
  /** In the order in which they are to be asked. None: what the table doesn't know is refused (SERVFAIL). */
  upstreams: readonly Upstream[]
  /** How long one upstream may take before the next one is asked too. Default: 1500. */
  timeoutMs?: number
  /**
   * Told of the addresses that an upstream answered with. The client gets them once this has settled, so a filter can
   * let it through before it comes; it gets them as well where this fails, or takes longer than a second.
   */
  onAnswer?: (learned: LearnedAddresses) => void | Promise<void>
  /** Of what went wrong and can't be told to a client, for a log. */
  onProblem?: (message: string) => void
}

/** Where docker's resolver answers too. */
export const defaultAddress = '127.0.0.11'
const rounds = 2
const maxTcp = 65_535
/** No query is longer; a client that says so is cut off. */
const maxQuery = 4096
const maxStreams = 64
/** Answers that a client has asked for and doesn't read. */
const maxUnread = 256 * 1024
const idleMs = 10_000
const onAnswerMs = 1_000

/** Throws SyscallError where the address is taken or the namespace isn't one, HF_BAD_REQUEST for a bad table. */
export class DnsServer {
  readonly #options: DnsServerOptions
  readonly #datagrams: Datagrams
  readonly #listening: Listening
  readonly #streams = new Set<ByteStream>()
  /** Questions of udp clients on their way: a client that asks again need not be forwarded again. */
  readonly #pending = new Set<string>()
  #index: NameIndex
  #forwarder: Forwarder

  constructor(options: DnsServerOptions) {
    const { sockets, netns, address = defaultAddress, port = 53, inherited, table } = options
    this.#options = options
    this.#index = new NameIndex(table)
    this.#forwarder = this.#makeForwarder(options.upstreams)
    this.#listening = openListening(
      { sockets, netns, address, port, inherited },
      {
        onMessage: (message, peer) => this.#onDatagram(message, peer),
        onStream: (stream) => this.#onStream(stream),
        onProblem: (message) => this.#problem(message),
      },
    )
    this.#datagrams = this.#listening.datagrams
  }

  /** They stay the server's. Where they outlive it in duplicates, questions wait for whoever inherits them. */
  get descriptors(): ListeningDescriptors | undefined {
    return this.#listening.descriptors
  }

  /** Throws HF_BAD_REQUEST, and goes on with the table it has. */
  setTable(table: DnsTable): void {
    this.#index = new NameIndex(table)
  }

  /** Questions on their way to the earlier ones end without an answer; clients ask again. */
  setUpstreams(upstreams: readonly Upstream[]): void {
    this.#forwarder.close()
    this.#pending.clear()
    this.#forwarder = this.#makeForwarder(upstreams)
  }

  close(): void {
    this.#forwarder.close()
    this.#listening.close()
    for (const stream of this.#streams) stream.destroy()
  }

  #makeForwarder(upstreams: readonly Upstream[]): Forwarder {
    const { sockets, netns, timeoutMs = 1500 } = this.#options
    return new Forwarder({ sockets, netns, upstreams, timeoutMs, rounds })
  }

  #onDatagram(message: Uint8Array, peer: Uint8Array): void {
    const query = readQuery(message)
    if (query === 'ignore') return
    if ('refusal' in query) {
      this.#datagrams.send(query.refusal, peer)
      return
    }
    const limit = payloadLimit(query)
    const answer = answerQuery(this.#index, query, limit)
    if (answer) {
      this.#datagrams.send(answer, peer)
      return
    }
    const client = peer.slice()
    const key = String.fromCharCode(...client, message[0]!, message[1]!)
    if (this.#pending.has(key)) return
    this.#pending.add(key)
    this.#forward(query, 'udp', (reply) => {
      this.#pending.delete(key)
      this.#datagrams.send(cutAnswer(reply, limit), client)
    })
  }

  #onStream(stream: ByteStream): void {
    stream.on('error', () => stream.destroy())
    if (this.#streams.size >= maxStreams) {
      stream.destroy()
      return
    }
    this.#streams.add(stream)
    stream.on('close', () => this.#streams.delete(stream))
    stream.setTimeout(idleMs, () => stream.destroy())
    const reader = new FrameReader(maxQuery)
    let [open, ended] = [0, false]
    const settle = () => {
      if (ended && open === 0) stream.end()
    }
    stream.on('end', () => {
      ended = true
      settle()
    })
    stream.on('data', (chunk) => {
      const messages = reader.push(chunk)
      if (!messages) stream.destroy()
      for (const message of messages ?? []) {
        open++
        this.#onFrame(message, (reply) => {
          open--
          if (reply) stream.write(frame(reply))
          if (stream.writableLength > maxUnread) stream.destroy()
          settle()
        })
      }
    })
  }

  #onFrame(message: Uint8Array, onEnd: (reply: Uint8Array | undefined) => void): void {
    const query = readQuery(message)
    if (query === 'ignore') onEnd(undefined)
    else if ('refusal' in query) onEnd(query.refusal)
    else {
      const answer = answerQuery(this.#index, query, maxTcp)
      if (answer) onEnd(answer)
      else this.#forward(query, 'tcp', onEnd)
    }
  }

  #forward(query: Query, transport: Transport, onEnd: (reply: Uint8Array) => void): void {
    const own = { ...query, message: query.message.slice() }
    this.#forwarder.forward(own, transport, (message) => {
      if (!message) onEnd(failureReply(own, transport === 'tcp' ? maxTcp : payloadLimit(own)))
      else if (this.#options.onAnswer) void this.#learn(own, message).then(() => onEnd(message))
      else onEnd(message)
    })
  }

  async #learn(query: Query, message: Uint8Array): Promise<void> {
    const learned = learnedAddresses(message, query)
    if (!learned) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`longer than ${onAnswerMs} ms`)), onAnswerMs)
    })
    try {
      await Promise.race([this.#options.onAnswer!(learned), late])
    } catch (error) {
      this.#problem(`onAnswer of ${learned.name}: ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      clearTimeout(timer)
    }
  }

  #problem(message: string): void {
    this.#options.onProblem?.(message)
  }
}
