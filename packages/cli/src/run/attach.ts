// An attached terminal or pipe: raw mode, resizing, signals, detach keys, and the frames of the engine's stream.
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'

import type { EngineClient } from '../engine-client.ts'
import { DetachKeys } from './detach-keys.ts'
import { Demultiplexer } from './demultiplexer.ts'

export interface AttachOptions {
  client: EngineClient
  socket: Socket
  head: Buffer
  /** The container has a terminal: the stream is raw. */
  tty: boolean
  stdin: boolean
  detachKeys: string
  /** Where the size goes: `/containers/ID/resize`, `/exec/ID/resize`. */
  resizePath: string
}

export type AttachEnd = 'ended' | 'detached'

/** Copies both ways until the container's output ends, or the user detaches. */
export async function copyStreams(options: AttachOptions): Promise<AttachEnd> {
  const { socket, head, tty, stdin } = options
  let detached = false
  const output = new Promise<void>((resolve, reject) => {
    const demultiplexer = new Demultiplexer(process.stdout, process.stderr)
    const take = (chunk: Buffer): boolean => (tty ? process.stdout.write(chunk) : demultiplexer.write(chunk))
    const taken = (chunk: Buffer): void => {
      if (take(chunk)) return
      socket.pause()
      process.stdout.once('drain', () => socket.resume())
    }
    if (head.length > 0) taken(head)
    socket.on('data', taken)
    socket.on('end', resolve)
    socket.on('close', () => resolve())
    socket.on('error', reject)
  })
  const restore = tty && stdin ? await enterRawMode() : () => {}
  const stopResizing = tty && process.stdout.isTTY ? followSize(options) : () => {}
  const input = stdin ? sendInput(options, () => (detached = true)) : () => {}
  if (!stdin) socket.end()
  try {
    await output
  } finally {
    input()
    stopResizing()
    restore()
    socket.destroy()
  }
  return detached ? 'detached' : 'ended'
}

/** Returns what stops it. */
function sendInput(options: AttachOptions, onDetach: () => void): () => void {
  const { socket } = options
  const keys = options.tty ? new DetachKeys(options.detachKeys) : undefined
  const onData = (chunk: Buffer): void => {
    const { data, detach } = keys?.take(chunk) ?? { data: chunk, detach: false }
    const room = data.length === 0 || socket.write(data)
    if (detach) {
      onDetach()
      socket.destroy()
    } else if (!room) {
      process.stdin.pause()
      socket.once('drain', () => process.stdin.resume())
    }
  }
  // Half-close: the container sees the end of its input, and its output goes on.
  const onEnd = (): void => void socket.end()
  process.stdin.on('data', onData)
  process.stdin.on('end', onEnd)
  return () => {
    process.stdin.off('data', onData)
    process.stdin.off('end', onEnd)
    process.stdin.pause()
    process.stdin.unref?.()
  }
}

async function enterRawMode(): Promise<() => void> {
  if (!process.stdin.isTTY) return () => {}
  // Loaded here: the other verbs start faster without the addon.
  const { passOutputThrough } = await import('@holdfast/core')
  process.stdin.setRawMode(true)
  passOutputThrough(process.stdin.fd)
  return () => process.stdin.setRawMode(false)
}

function followSize(options: AttachOptions): () => void {
  const send = (): void => {
    const { rows, columns } = process.stdout
    // The container may have ended in the meantime: then nobody needs the size.
    options.client.json('POST', options.resizePath, { query: { h: rows, w: columns } }).catch(() => {})
  }
  send()
  process.on('SIGWINCH', send)
  return () => process.off('SIGWINCH', send)
}

/** What the engine answers to `wait` once the container has ended. */
export async function exitCodeOf(waiting: IncomingMessage): Promise<number> {
  return (JSON.parse(await text(waiting)) as { StatusCode: number }).StatusCode
}

const proxied = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'] as const

/** Passes the signals that this process gets on to the container. Returns what stops it. */
export function proxySignals(client: EngineClient, id: string): () => void {
  const handlers = proxied.map((signal) => {
    const handler = (): void => {
      client.json('POST', `/containers/${id}/kill`, { query: { signal } }).catch(() => {})
    }
    process.on(signal, handler)
    return () => process.off(signal, handler)
  })
  return () => handlers.forEach((stop) => stop())
}
