/** close(2) of what makes whoever closes it wait: the last descriptor of a mount, or of a mount namespace. */
import { checkFd } from './argument.ts'
import { closeFd, pipe2 } from './descriptor.ts'
import { addon } from './native.ts'
import { watchFd } from './watch.ts'

const native = addon as { closeAside(fds: Int32Array, told: number): number }

/**
 * Closes the descriptors in this order, in a thread of its own; their numbers are free when this returns. Resolves when
 * the kernel is done with them. Where there can be no thread, the caller does the waiting.
 */
export function closeAside(fds: readonly number[]): Promise<void> {
  if (fds.length === 0) return Promise.resolve()
  const wanted = Int32Array.from(fds, (fd) => checkFd(fd))
  const { read, write } = pipe2()
  const aside = native.closeAside(wanted, write) === 0
  for (const fd of [write, ...fds]) closeFd(fd)
  if (!aside) {
    closeFd(read)
    return Promise.resolve()
  }
  return new Promise((resolve) => {
    const watch = watchFd(read, { hangup: true }, () => {
      watch.close()
      closeFd(read)
      resolve()
    })
  })
}
