/**
 * Checks of arguments before they reach C: a number that C would round or wrap, and a string that C would cut at a
 * NUL byte, are refused here (the native side asserts the numbers again).
 */
import { HoldfastError } from '@holdfast/errors'

/** `openat(2)`'s AT_FDCWD: relative paths start at the working directory. */
export const AT_FDCWD = -100

/** A path as a string, or as bytes where it may not be UTF-8 (names in archives and directories). */
export type Path = string | Buffer

export function checkInteger(value: number, name: string, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw bad(name, `must be an integer from ${min} to ${max}, not ${String(value)}`)
}

export function checkFd(fd: number, name = 'fd'): number {
  return checkInteger(fd, name, 0, 0x7fff_ffff)
}

/** A descriptor, or AT_FDCWD. */
export function checkDirfd(fd: number, name = 'dirfd'): number {
  return fd === AT_FDCWD ? fd : checkFd(fd, name)
}

export function checkPid(pid: number): number {
  return checkInteger(pid, 'pid', 1, 0x7fff_ffff)
}

/** A user or group id: the kernel's (uid_t)-1 means "leave as it is" and is not an id. */
export function checkId(id: number, name: string): number {
  return checkInteger(id, name, 0, 0xffff_fffe)
}

export function checkPath<T extends Path>(path: T, name = 'path'): T {
  if (typeof path !== 'string' && !Buffer.isBuffer(path)) throw bad(name, 'must be a string or a Buffer')
  if (typeof path === 'string' ? path.includes('\0') : path.includes(0)) {
    throw bad(name, `must not contain a NUL byte: ${JSON.stringify(path.toString())}`)
  }
  return path
}

const maxUnsigned64 = (1n << 64n) - 1n

export function checkUnsigned64(value: number | bigint, name: string): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw bad(name, `must be a safe integer or a bigint, not ${value}`)
  }
  const big = BigInt(value)
  if (big < 0n || big > maxUnsigned64) throw bad(name, `must be from 0 to 2^64-1, not ${big}`)
  return big
}

export function bad(name: string, what: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `${name} ${what}`, { details: { field: name } })
}
