/** Descriptors: read(2), write(2), pipe2(2), dup with close-on-exec, O_NONBLOCK, flock(2). */
import { checkFd, checkInteger, bad } from './argument.ts'
import { addon, check, errnoName } from './native.ts'
import { O_CLOEXEC } from './path.ts'

const native = addon as {
  close(fd: number): number
  read(fd: number, buffer: Uint8Array, offset: number, length: number): number
  write(fd: number, buffer: Uint8Array, offset: number, length: number): number
  pipe2(flags: number, out: Int32Array): number
  dupCloexec(fd: number, min: number): number
  setNonblocking(fd: number, on: number): number
  isNonblocking(fd: number): number
  flock(fd: number, operation: number): number
  closeRange(first: number, last: number, flags: number): number
}

/** close(2). Never retried: the descriptor is gone whatever the result. */
export function closeFd(fd: number): void {
  check(native.close(checkFd(fd)), 'close')
}

/** At most `max` bytes; an empty Buffer at the end of input; undefined where a non-blocking read would wait. */
export function readFd(fd: number, max: number): Buffer | undefined {
  const buffer = Buffer.allocUnsafe(checkInteger(max, 'max', 1, 0x7fff_f000))
  const length = readFdInto(fd, buffer)
  return length === undefined ? undefined : buffer.subarray(0, length)
}

/** As `readFd`, into a buffer of the caller's; the number of bytes, 0 at the end of input. */
export function readFdInto(fd: number, buffer: Uint8Array, offset = 0): number | undefined {
  checkInteger(offset, 'offset', 0, buffer.length)
  const result = native.read(checkFd(fd), buffer, offset, buffer.length - offset)
  return wouldBlock(result) ? undefined : check(result, 'read')
}

/** The number of bytes written, which may be fewer than given; 0 where a non-blocking write would wait. */
export function writeFd(fd: number, data: Uint8Array | string): number {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  const result = native.write(checkFd(fd), bytes, 0, bytes.length)
  return wouldBlock(result) ? 0 : check(result, 'write')
}

/** Both ends of a pipe, the caller's to close. */
export interface Pipe {
  read: number
  write: number
}

/** pipe2(2), both ends close-on-exec. `flags`: O_NONBLOCK, O_DIRECT. */
export function pipe2(flags = 0): Pipe {
  const ends = new Int32Array(2)
  check(native.pipe2(checkInteger(flags, 'flags', 0, 0x7fff_ffff) | O_CLOEXEC, ends), 'pipe2')
  return { read: ends[0]!, write: ends[1]! }
}

/** A duplicate, close-on-exec, numbered `min` or higher. */
export function dupCloexec(fd: number, min = 0): number {
  return check(native.dupCloexec(checkFd(fd), checkFd(min, 'min')), 'fcntl(F_DUPFD_CLOEXEC)')
}

/** O_NONBLOCK belongs to the open file description: every process and duplicate that shares it sees the change. */
export function setNonblocking(fd: number, on = true): void {
  check(native.setNonblocking(checkFd(fd), on ? 1 : 0), 'fcntl(F_SETFL)')
}

/** O_NONBLOCK of the open file behind the descriptor, which its duplicates share. */
export function isNonblocking(fd: number): boolean {
  return check(native.isNonblocking(checkFd(fd)), 'fcntl(F_GETFL)') === 1
}

const flockOperations = { shared: 1, exclusive: 2, unlock: 8 } as const
const LOCK_NB = 4

/**
 * flock(2). False where another holds the lock; with `wait` it blocks the whole process instead, event loop
 * included, until the other lets go.
 */
export function flock(
  fd: number,
  operation: keyof typeof flockOperations,
  options: { wait?: boolean } = {},
): boolean {
  const code = flockOperations[operation]
  if (code === undefined)
    throw bad('operation', `must be shared, exclusive or unlock, not ${String(operation)}`)
  const result = native.flock(checkFd(fd), code | (options.wait === true ? 0 : LOCK_NB))
  if (wouldBlock(result)) return false
  check(result, 'flock')
  return true
}

const CLOSE_RANGE_CLOEXEC = 4

/** close_range(2) with CLOSE_RANGE_CLOEXEC: no descriptor from `first` up goes to a program that we execute. */
export function setCloexecFrom(first: number): void {
  check(native.closeRange(checkFd(first, 'first'), 0xffff_ffff, CLOSE_RANGE_CLOEXEC), 'close_range')
}

function wouldBlock(result: number): boolean {
  return result < 0 && errnoName(-result) === 'EAGAIN'
}
