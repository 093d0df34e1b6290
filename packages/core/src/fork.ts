/**
 * fork(2) of a running Node process, for a zygote: a prepared process of which ready-made copies cost a millisecond
 * each, where a new Node costs tens of them.
 *
 * Only a process started as `node --v8-pool-size=0 --single-threaded` can be forked: the copy has the calling thread
 * alone, and V8's helper threads would be missing in it.
 */
import { HoldfastError } from '@holdfast/errors'
import { addon, check } from './native.ts'

const native = addon as { forkProcess(): number; getpid(): number }

/**
 * The child's pid in the parent, 0 in the child. The child has a session of its own and an event loop of its own
 * with the parent's handles in it: it must close those that it does not want, and it inherits every descriptor.
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
  if (pid === 0) Object.defineProperty(process, 'pid', { value: native.getpid(), configurable: true, enumerable: true })
  return pid
}
