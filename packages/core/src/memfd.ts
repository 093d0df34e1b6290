/** Files in memory: memfd_create(2), with seals (fcntl F_ADD_SEALS). */
import { checkPath, bad } from './argument.ts'
import { closeFd, writeFd } from './descriptor.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  memfdCreate(name: string, flags: number): number
  addSeals(fd: number, seals: number): number
  getSeals(fd: number): number
}

const MFD_CLOEXEC = 1
const MFD_ALLOW_SEALING = 2
const MFD_EXEC = 0x10

/** fcntl(2), F_ADD_SEALS. */
export const F_SEAL_SEAL = 1
export const F_SEAL_SHRINK = 2
export const F_SEAL_GROW = 4
export const F_SEAL_WRITE = 8
/** The execute permission can't change any more (Linux 6.3). */
export const F_SEAL_EXEC = 0x20

/**
 * An executable file in memory with this content, at offset 0 where there is none. With `seal` nothing about it can
 * ever change again: contents, size, execute permission (before Linux 6.3 without the last), nor the seals.
 */
export function memfdCreate(name: string, content?: Uint8Array, seal = false): number {
  if (Buffer.byteLength(checkPath(name, 'name')) > 249) throw bad('name', 'must have at most 249 bytes')
  let fd = native.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC)
  // Before 6.3 every memfd is executable and MFD_EXEC is not known.
  if (fd < 0 && errnoName(-fd) === 'EINVAL') fd = native.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)
  check(fd, 'memfd_create', { path: name })
  try {
    for (let at = 0; content !== undefined && at < content.length;) at += writeFd(fd, content.subarray(at))
    if (seal) sealAll(fd)
    return fd
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function sealAll(fd: number): void {
  const old = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
  const result = native.addSeals(fd, old | F_SEAL_EXEC)
  if (result < 0 && errnoName(-result) === 'EINVAL') check(native.addSeals(fd, old), 'fcntl(F_ADD_SEALS)')
  else check(result, 'fcntl(F_ADD_SEALS)')
}

/** The seals of a memfd, F_SEAL_…. */
export function memfdSeals(fd: number): number {
  return check(native.getSeals(fd), 'fcntl(F_GET_SEALS)')
}
