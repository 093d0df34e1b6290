/**
 * Binary frames on a control connection: stdio of whatever the supervisor attached to, many streams over the one
 * connection. Drawn in messages.ts.
 *
 *   [channel: 4 bytes, big-endian] [kind: 1 byte] payload
 */
import { HoldfastError } from '@holdfast/errors'

const kinds = { stdin: 0, stdout: 1, stderr: 2, window: 3, close: 4 } as const

/** The standard streams of a process. */
export type StreamName = 'stdin' | 'stdout' | 'stderr'

/** `ended`: every stream has ended and was delivered. `lagged`: this client read too slowly. `detached`: it has gone. */
export const closeReasons = ['ended', 'lagged', 'detached'] as const
/** Why a channel was closed. */
export type CloseReason = (typeof closeReasons)[number]

/** How much of a stream goes into one frame. */
export const maxStreamChunk = 1 << 16

/** What one side may have sent in a channel that the other has not yet made room for again. */
export const streamWindow = 1 << 18

/** A binary frame, taken apart. */
export type ChannelFrame =
  | { channel: number; kind: StreamName; payload: Uint8Array }
  | { channel: number; kind: 'window'; bytes: number }
  | { channel: number; kind: 'close'; reason: CloseReason }

const headerLength = 5

/** `payload` has at most `maxStreamChunk` bytes. */
export function encodeStream(channel: number, stream: StreamName, payload: Uint8Array): Uint8Array {
  return encode(channel, kinds[stream], payload)
}

/** There is room for so many bytes more. */
export function encodeWindow(channel: number, bytes: number): Uint8Array {
  return encode(channel, kinds.window, bigEndian(bytes))
}

/** The last frame of a channel. */
export function encodeClose(channel: number, reason: CloseReason): Uint8Array {
  return encode(channel, kinds.close, Uint8Array.of(closeReasons.indexOf(reason)))
}

/** Takes a frame apart; a payload is a view of it. Throws HF_PROTOCOL. */
export function decodeChannelFrame(frame: Uint8Array): ChannelFrame {
  if (frame.length < headerLength) throw malformed('is too short')
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  const channel = view.getUint32(0)
  const payload = frame.subarray(headerLength)
  switch (view.getUint8(4)) {
    case kinds.stdin:
      return { channel, kind: 'stdin', payload }
    case kinds.stdout:
      return { channel, kind: 'stdout', payload }
    case kinds.stderr:
      return { channel, kind: 'stderr', payload }
    case kinds.window:
      if (payload.length !== 4) throw malformed('has no window')
      return { channel, kind: 'window', bytes: view.getUint32(headerLength) }
    case kinds.close: {
      const reason = closeReasons[payload[0] ?? -1]
      if (!reason) throw malformed('has no reason to close')
      return { channel, kind: 'close', reason }
    }
    default:
      throw malformed('is of no known kind')
  }
}

function encode(channel: number, kind: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(headerLength + payload.length)
  frame.set(bigEndian(channel))
  frame[4] = kind
  frame.set(payload, headerLength)
  return frame
}

function bigEndian(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function malformed(what: string): HoldfastError {
  return new HoldfastError('HF_PROTOCOL', `a binary frame ${what}`)
}
