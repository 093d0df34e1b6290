import type { Duplex, Writable } from 'node:stream'
import type { AttachSession } from '../engine/engine.ts'
import { DetachScanner } from './detach-keys.ts'
import { headTaken } from './head-taken.ts'
import type { Hijacked, Logger } from './route.ts'
import { frameHeader } from './stream-frame.ts'

export interface PumpOptions {
  /** Each chunk with Docker's 8-byte header: for everything without a terminal. */
  multiplexed: boolean
  /** What the client sends goes to the container. */
  stdin: boolean
  /** The end of it closes the container's input; else, as with dockerd, there is nothing left to be attached for. */
  closesStdin: boolean
  /** Keys that end the attachment; only looked for in a terminal's input. */
  detachKeys: Buffer | undefined
  /** They were typed. */
  onDetach?: () => void
  logger: Logger
}

/** How long a client may take to close its side after it was sent all of the output. */
const lingerMs = 10_000

/**
 * Joins a connection and an attachment until the output ends or the client goes. Each direction waits for the other
 * side to take what it was given. The client closing its side is the end of input; output goes on where that closes the
 * container's input too.
 */
export async function pumpSession(
  session: AttachSession,
  hijacked: Hijacked,
  options: PumpOptions,
): Promise<void> {
  const { socket } = hijacked
  socket.on('error', () => socket.destroy()) // the client went away; `close` follows
  const closed = new Promise<void>((resolve) => {
    const onClose = () => {
      session.close()
      resolve()
    }
    if (socket.closed) onClose()
    else socket.once('close', onClose)
  })
  // The container may close its input, or end, while output is still on its way: that must not cut the output off.
  const input = pumpInput(session, hijacked, options).catch((error: unknown) => {
    options.logger.debug({ err: error }, 'the input of an attachment ended early')
  })
  try {
    await pumpOutput(session, socket, options.multiplexed)
  } catch (error) {
    options.logger.debug({ err: error }, 'the output of an attachment broke off')
    sayBrokenOff(socket, error, options.multiplexed)
  } finally {
    session.close()
    endGently(socket)
  }
  await Promise.all([input, closed])
}

/**
 * Sends the output of a session as the body of an ordinary answer, for a client that has nothing to say: the connection
 * is free for its next request afterwards, where one that was taken over ends with the stream.
 */
export async function pumpAnswer(
  session: AttachSession,
  body: Writable,
  { multiplexed, logger }: Pick<PumpOptions, 'multiplexed' | 'logger'>,
): Promise<void> {
  body.once('close', () => session.close())
  if (body.destroyed) session.close()
  try {
    await pumpOutput(session, body, multiplexed)
  } catch (error) {
    logger.debug({ err: error }, 'the output of an attachment broke off')
    sayBrokenOff(body, error, multiplexed)
  } finally {
    session.close()
    body.end()
  }
}

async function pumpOutput(session: AttachSession, socket: Writable, multiplexed: boolean): Promise<void> {
  let first = true
  for await (const { stream, data } of session.output) {
    if (first) await headTaken(socket)
    first = false
    if (socket.destroyed) return
    let flowing: boolean
    if (multiplexed) {
      socket.cork() // header and data in one write
      socket.write(frameHeader(stream, data.length))
      flowing = socket.write(data)
      socket.uncork()
    } else {
      flowing = socket.write(data)
    }
    if (!flowing) await drained(socket)
  }
}

/** Docker's stream has no place for a failure, and its end alone would look like the end of the output. */
function sayBrokenOff(socket: Writable, error: unknown, multiplexed: boolean): void {
  if (socket.destroyed) return
  const text = Buffer.from(`holdfast: the output breaks off here: ${(error as Error).message}\r\n`)
  if (multiplexed) socket.write(frameHeader('stderr', text.length))
  socket.write(text)
}

/** The socket takes more, or is gone. */
export function drained(socket: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed || !socket.writableNeedDrain) {
      resolve()
      return
    }
    const done = () => {
      socket.off('drain', done).off('close', done)
      resolve()
    }
    socket.on('drain', done).on('close', done)
  })
}

async function pumpInput(session: AttachSession, hijacked: Hijacked, options: PumpOptions): Promise<void> {
  const { socket, head } = hijacked
  const scanner = options.detachKeys && session.tty ? new DetachScanner(options.detachKeys) : undefined
  try {
    if (head.length > 0 && !(await take(head))) return
    for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (!(await take(chunk))) return
    }
    if (options.stdin) endInput()
  } finally {
    dropInput(socket)
  }

  function endInput(): void {
    session.end()
    if (!options.closesStdin) session.close()
  }

  async function take(chunk: Buffer): Promise<boolean> {
    if (!options.stdin) return true
    if (!scanner) {
      await session.write(chunk)
      return true
    }
    const { pass, detached } = scanner.scan(chunk)
    if (pass.length > 0) await session.write(pass)
    if (!detached) return true
    options.onDetach?.()
    session.close()
    endGently(socket)
    return false
  }
}

/** Whatever still comes goes nowhere; unread bytes would turn the close into a reset. */
export function dropInput(socket: Duplex): void {
  socket.removeAllListeners('readable').resume()
}

/**
 * Closes our side after what was written is out, which takes as long as the client does, and the connection when the
 * client has closed its own.
 */
function endGently(socket: Duplex): void {
  if (socket.destroyed) return
  const linger = () => {
    const timer = setTimeout(() => socket.destroy(), lingerMs)
    socket.once('close', () => clearTimeout(timer))
  }
  if (socket.writableFinished) linger()
  else socket.once('finish', linger)
  if (!socket.writableEnded) socket.end()
}
