/** Moving bytes to and from pipes inside the kernel: splice(2); and FIONREAD. Neither waits. */
import { checkFd, checkInteger } from './argument.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  splice(from: number, to: number, length: number): number
  fionread(fd: number): number
}

/**
 * Moves up to `length` bytes; one of the two must be a pipe. 0 at the end of input; undefined where there is nothing to
 * move, or no room.
 */
export function splice(from: number, to: number, length: number): number | undefined {
  return moved(native.splice(checkFd(from, 'from'), checkFd(to, 'to'), checkLength(length)), 'splice')
}

/** How many bytes wait in a pipe, socket or terminal. */
export function fionread(fd: number): number {
  return check(native.fionread(checkFd(fd)), 'ioctl(FIONREAD)')
}

function checkLength(length: number): number {
  return checkInteger(length, 'length', 1, 0x7fff_f000)
}

function moved(result: number, syscall: string): number | undefined {
  return result < 0 && errnoName(-result) === 'EAGAIN' ? undefined : check(result, syscall)
}
