/**
 * fork(2) of a running Node process, for a zygote: a prepared process of which ready-made copies cost a millisecond
 * each, where a new Node costs tens of them.
 *
 * Only a process started as `node --v8-pool-size=0 --single-threaded` can be forked: the copy has the calling thread
 * alone, and V8's helper threads would be missing in it.
 */
import { writeSync } from 'node:fs'
import { inspect } from 'node:util'
import { HoldfastError } from '@holdfast/errors'
import { addon, check } from './native.ts'

const native = addon as {
  forkProcess(): number
  fillHeapHoles(): number
  getpid(): number
  exitNow(code: number): void
}

/**
 * The child's pid in the parent, 0 in the child. The child has a session of its own and an event loop of its own
 * with the parent's handles in it: it must close those that it does not want, and it inherits every descriptor.
 *
 * Fork from an idle event loop: what V8's helper threads are doing at that moment is never finished in the child, which
 * then can't end by an empty event loop (`process.exit` always works).
 *
 * Random state is copied. A child must not use identifiers or secrets from a cache that was filled before the
 * fork: `crypto.randomUUID({ disableEntropyCache: true })` and `crypto.randomBytes` are safe, `crypto.randomUUID()`
 * without it and `Math.random()` are not.
 */
export function forkProcess(): number {
  for (const flag of ['--v8-pool-size=0', '--single-threaded']) {
    if (!process.execArgv.includes(flag)) {
      throw new HoldfastError('HF_UNSUPPORTED', `a process started without ${flag} cannot be forked`, {
        hint: 'Start it as: node --v8-pool-size=0 --single-threaded …',
      })
    }
  }
  const pid = check(native.forkProcess(), 'fork')
  if (pid === 0) settleIn()
  return pid
}

/** What Node found out at its start, and is no longer so. */
function settleIn(): void {
  Object.defineProperty(process, 'pid', { value: native.getpid(), configurable: true, enumerable: true })
  const leaving = process as unknown as { reallyExit(code?: number): void }
  leaving.reallyExit = (code) => native.exitNow(Number(code ?? 0) & 0xff)
  process.on('uncaughtExceptionMonitor', (error) => {
    if (process.listenerCount('uncaughtException') === 0) fatal = { error }
  })
  process.prependListener('exit', leave)
}

let fatal: { error: unknown } | undefined

/**
 * The end of a child, however it comes about: `process.exit`, an empty event loop, an exception. After the event Node
 * would join threads that the child does not have, and wait for ever. So this runs the other listeners and leaves.
 */
function leave(code: number): void {
  const listeners = process.listeners('exit')
  for (const listener of listeners.slice(listeners.indexOf(leave) + 1)) {
    try {
      listener.call(process, code)
    } catch (error) {
      fatal ??= { error }
    }
  }
  if (fatal !== undefined) report(fatal.error) // Node does so after the event only
  native.exitNow(Number(process.exitCode ?? code) & 0xff)
}

/** An exception here would end the event, and Node would go on to join those threads. */
function report(error: unknown): void {
  try {
    writeSync(2, `${inspect(error)}\n`)
  } catch {
    // closed, or a pipe that nobody reads any more: there is nobody to tell
  }
}

/**
 * Makes children smaller, once before the first fork: fills the holes of malloc(3)'s heap for good. What a child
 * allocates then lies close together, and not in the holes of a thousand pages that it would each have to copy.
 * Returns the bytes that this cost.
 */
export function fillHeapHoles(): number {
  return native.fillHeapHoles()
}
