/** Readiness of descriptors in the event loop, by libuv's uv_poll_t: for what Node has no stream of. */
import { checkFd, bad } from './argument.ts'
import { addon, check } from './native.ts'

const native = addon as {
  watchStart(fd: number, events: number, callback: (events: number) => void): object | number
  watchUpdate(watch: object, events: number): number
  watchRef(watch: object, on: number): void
  watchClose(watch: object): void
}

/** What is waited for; what is not named is not. */
export interface WatchInterest {
  readable?: boolean
  writable?: boolean
  /** POLLHUP and POLLRDHUP: a pidfd's process was reaped, a pipe's or socket's other end is closed. */
  hangup?: boolean
}

/** What poll(2) says at the moment of the callback. */
export interface WatchEvents {
  readable: boolean
  writable: boolean
  hangup: boolean
  /** POLLERR: the read end of our pipe is gone, a socket has an error. The watch has stopped by itself. */
  error: boolean
}

/** A watch, which keeps the event loop alive until it is closed or `unref`ed. */
export interface Watch {
  /** Changes what is waited for; all false: nothing, until the next change. */
  update(interest: WatchInterest): void
  /** Ends it. The descriptor stays open: close it afterwards, never before. */
  close(): void
  ref(): void
  unref(): void
}

/**
 * Calls back while one of the interests holds (level-triggered: read, or change the interest, or be called again).
 *
 * libuv makes the descriptor non-blocking. It can watch a descriptor number once: EEXIST for one that is watched
 * already or is a Node socket (use a duplicate), EPERM for a regular file. A pidfd is *readable* from the exit on and
 * *hung up* once it was reaped (Linux 6.9); to wait for the reaping alone ask for `hangup` alone.
 */
export function watchFd(fd: number, interest: WatchInterest, callback: (events: WatchEvents) => void): Watch {
  if (typeof callback !== 'function') throw bad('callback', 'must be a function')
  const started = native.watchStart(checkFd(fd), interestBits(interest), (bits) =>
    callback({
      readable: (bits & POLLIN) !== 0,
      writable: (bits & POLLOUT) !== 0,
      hangup: (bits & (POLLHUP | POLLRDHUP)) !== 0,
      error: (bits & (POLLERR | POLLNVAL)) !== 0,
    }),
  )
  if (typeof started === 'number') check(started, 'epoll_ctl')
  let handle: object | undefined = started as object
  return {
    update(next) {
      if (handle) check(native.watchUpdate(handle, interestBits(next)), 'epoll_ctl')
    },
    close() {
      if (handle) native.watchClose(handle)
      handle = undefined
    },
    ref() {
      if (handle) native.watchRef(handle, 1)
    },
    unref() {
      if (handle) native.watchRef(handle, 0)
    },
  }
}

const POLLIN = 0x1
const POLLOUT = 0x4
const POLLERR = 0x8
const POLLHUP = 0x10
const POLLNVAL = 0x20
const POLLRDHUP = 0x2000

/** libuv's UV_READABLE, UV_WRITABLE, UV_DISCONNECT. */
function interestBits({ readable = false, writable = false, hangup = false }: WatchInterest): number {
  return (readable ? 1 : 0) | (writable ? 2 : 0) | (hangup ? 4 : 0)
}
