/**
 * Sockets with a name in the file system that keep message bounds (SOCK_SEQPACKET, unix(7)). Messages and descriptors
 * go through them by `sendMessage` and `receiveMessage`; none of it ever waits.
 */
import { rmSync } from 'node:fs'
import { checkFd, checkPath, bad } from './argument.ts'
import { closeFd } from './descriptor.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  unixSocket(type: number): number
  bindUnix(fd: number, path: string): number
  connectUnix(fd: number, path: string): number
  acceptSocket(fd: number): number
  listenSocket(fd: number, backlog: number): number
}

const SOCK_SEQPACKET = 5
/** Bytes of a socket's path: sun_path has 108 with its NUL. Node cuts a longer one off without a word, and binds that. */
export const maxSocketPath = 107
const backlog = 1024

/** Takes the path over from whoever had it, with mode 0600 from birth. */
export function listenUnix(path: string): number {
  const name = checkName(path)
  rmSync(name, { force: true })
  return open((fd) => {
    const umask = process.umask(0o177) // bind(2) makes the file with it
    try {
      check(native.bindUnix(fd, name), 'bind', { path: name })
    } finally {
      process.umask(umask)
    }
    check(native.listenSocket(fd, backlog), 'listen', { path: name })
  })
}

/** ENOENT or ECONNREFUSED where nobody listens, EAGAIN where too many wait already. */
export function connectUnix(path: string): number {
  const name = checkName(path)
  return open((fd) => void check(native.connectUnix(fd, name), 'connect', { path: name }))
}

/** The next connection; undefined where there is none now. */
export function acceptUnix(listener: number): number | undefined {
  const fd = native.acceptSocket(checkFd(listener, 'listener'))
  // ECONNABORTED: it has gone again.
  if (fd < 0 && ['EAGAIN', 'ECONNABORTED'].includes(errnoName(-fd))) return undefined
  return check(fd, 'accept4')
}

function open(prepare: (fd: number) => void): number {
  const fd = check(native.unixSocket(SOCK_SEQPACKET), 'socket')
  try {
    prepare(fd)
    return fd
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function checkName(path: string): string {
  if (Buffer.byteLength(checkPath(path)) > maxSocketPath)
    throw bad('path', `must have at most ${maxSocketPath} bytes`)
  return path
}
