/** close(2) of what makes whoever closes it wait: the last descriptor of a mount, or of a mount namespace. */
import { checkFd } from './argument.ts'
import { closeFd, pipe2 } from './descriptor.ts'
import { addon } from './native.ts'
import { watchFd } from './watch.ts'

const native = addon as { closeAside(fds: Int32Array): number }

/**
 * Closes the groups' descriptors in this order, in a thread of its own; their numbers are free when this returns. Each
 * group's promise resolves when the kernel is done with its descriptors. Where there can be no thread, the caller does the
 * waiting.
 */
export function closeAside<Groups extends readonly (readonly number[])[]>(
  ...groups: Groups
): { [Index in keyof Groups]: Promise<void> }
export function closeAside(...groups: (readonly number[])[]): Promise<void>[] {
  for (const fd of groups.flat()) checkFd(fd)
  const pipes = groups.map(() => pipe2())
  const order = groups.flatMap((fds, index) => [...fds, pipes[index]!.write])
  const aside = native.closeAside(Int32Array.from(order)) === 0
  for (const fd of order) closeFd(fd)
  return pipes.map(({ read }) => (aside ? hangup(read) : Promise.resolve(closeFd(read))))
}

function hangup(read: number): Promise<void> {
  return new Promise((resolve) => {
    const watch = watchFd(read, { hangup: true }, () => {
      watch.close()
      closeFd(read)
      resolve()
    })
  })
}
