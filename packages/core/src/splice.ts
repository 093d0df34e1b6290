/** Moving bytes between pipes inside the kernel: tee(2), splice(2); and FIONREAD. None of them waits. */
import { checkFd, checkInteger } from './argument.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  tee(from: number, to: number, length: number): number
  splice(from: number, to: number, length: number): number
  fionread(fd: number): number
}

/**
 * Copies up to `length` bytes from one pipe to another without consuming them. 0 at the end of input; undefined
 * where there is nothing to copy, or no room.
 */
export function tee(from: number, to: number, length: number): number | undefined {
  return moved(native.tee(checkFd(from, 'from'), checkFd(to, 'to'), checkLength(length)), 'tee')
}

/** Moves up to `length` bytes; one of the two must be a pipe. Results as of `tee`. */
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
