/**
 * Sockets: who the peer is (SO_PEERCRED, SO_PEERPIDFD), passing descriptors (SCM_RIGHTS), and sockets of another
 * network namespace.
 */
import type { Server, Socket } from 'node:net'
import { HoldfastError } from '@holdfast/errors'
import { checkFd, checkInteger, checkPath, bad } from './argument.ts'
import { closeFd } from './descriptor.ts'
import { addon, check, errnoName } from './native.ts'

const native = addon as {
  peerCredentials(fd: number, out: Uint32Array): number
  peerPidfd(fd: number): number
  unsentBytes(fd: number): number
  accept(fd: number): number
  socketpair(type: number, out: Int32Array): number
  sendMessage(fd: number, data: Uint8Array, fds: Int32Array): number
  receiveMessage(
    fd: number,
    maxBytes: number,
    maxFds: number,
    peek: number,
  ): { data: Buffer; fds: number[] } | number
  setPeekOffset(fd: number, offset: number): number
  openSocketIn(netnsFd: number, family: number, type: number, protocol: number): number
  bindSocket(fd: number, family: number, address: string, port: number): number
  setReuseAddress(fd: number): number
  setFreeBind(fd: number): number
  setV6Only(fd: number): number
  connectSocket(fd: number, family: number, address: string, port: number): number
  listenSocket(fd: number, backlog: number): number
  joinNetlinkGroup(fd: number, group: number): number
}

/** unix(7), SO_PEERCRED. */
export interface PeerCredentials {
  pid: number
  uid: number
  gid: number
}

/** Who connected a unix socket, as the kernel noted it at connect(2) or socketpair(2). */
export function peerCredentials(fd: number): PeerCredentials {
  const out = new Uint32Array(3)
  check(native.peerCredentials(checkFd(fd), out), 'getsockopt(SO_PEERCRED)')
  return { pid: out[0]!, uid: out[1]!, gid: out[2]! }
}

/** A pidfd of the peer (Linux 6.5), close-on-exec. */
export function peerPidfd(fd: number): number {
  return check(native.peerPidfd(checkFd(fd)), 'getsockopt(SO_PEERPIDFD)')
}

/**
 * Whether everything that was written to a socket is with its peer (SIOCOUTQ): read by the program behind a unix
 * socket, acknowledged by the host behind a tcp one.
 */
export function isTaken(fd: number): boolean {
  return check(native.unsentBytes(checkFd(fd)), 'ioctl(SIOCOUTQ)') === 0
}

/** The descriptor beneath a Node socket or server, for calls such as `peerCredentials`. It stays Node's. */
export function socketHandleFd(socket: Socket | Server): number {
  // Undocumented, and the only way: Node has no API for a socket's descriptor.
  const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd
  if (fd === undefined || fd < 0) {
    throw new HoldfastError('HF_INTERNAL', 'the socket has no descriptor: it is closed, or not connected yet')
  }
  return fd
}

const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const SOCK_SEQPACKET = 5

/** Two connected unix sockets. */
export function socketpair(type: 'seqpacket' | 'stream'): [number, number] {
  const out = new Int32Array(2)
  check(native.socketpair(type === 'seqpacket' ? SOCK_SEQPACKET : SOCK_STREAM, out), 'socketpair')
  return [out[0]!, out[1]!]
}

/**
 * The next connection of a listening socket of any kind, close-on-exec and non-blocking; undefined where nobody waits.
 * For kinds that Node has no server for: SOCK_SEQPACKET.
 */
export function acceptConnection(fd: number): number | undefined {
  const result = native.accept(checkFd(fd))
  if (result < 0 && ['EAGAIN', 'ECONNABORTED'].includes(errnoName(-result))) return undefined
  return check(result, 'accept4')
}

/** The kernel's SCM_MAX_FD. */
const maxFds = 253

/**
 * Sends bytes and descriptors (at most 253) in one message over a unix socket. The number of bytes taken, as on a
 * stream it may be fewer; undefined where it would wait. Descriptors need at least one byte beside them on a stream.
 */
export function sendMessage(
  fd: number,
  data: Uint8Array | string,
  fds: readonly number[] = [],
): number | undefined {
  if (fds.length > maxFds) throw bad('fds', `must be at most ${maxFds}`)
  const bytes = typeof data === 'string' ? Buffer.from(data) : data
  const result = native.sendMessage(
    checkFd(fd),
    bytes,
    Int32Array.from(fds, (each) => checkFd(each, 'fds')),
  )
  return result < 0 && errnoName(-result) === 'EAGAIN' ? undefined : check(result, 'sendmsg')
}

/**
 * One message. Undefined where there is none yet; `data` of length 0 is the end of input. A message larger than
 * `maxBytes`, or with more descriptors than arrive whole, is EMSGSIZE, and its descriptors are closed. With `peek`
 * (MSG_PEEK) the message stays where it is, and the descriptors are duplicates.
 */
export function receiveMessage(
  fd: number,
  maxBytes: number,
  options: { peek?: boolean } = {},
): { data: Buffer; fds: number[] } | undefined {
  checkInteger(maxBytes, 'maxBytes', 1, 1 << 24)
  const result = native.receiveMessage(checkFd(fd), maxBytes, maxFds, options.peek === true ? 1 : 0)
  if (typeof result !== 'number') return result
  if (errnoName(-result) !== 'EAGAIN') check(result, 'recvmsg')
  return undefined
}

/**
 * From here on each `receiveMessage` with `peek` gives the next message, the first one first, until there is none
 * (SO_PEEK_OFF). For all who have this socket.
 */
export function peekFromFirst(fd: number): void {
  check(native.setPeekOffset(checkFd(fd), 0), 'setsockopt(SO_PEEK_OFF)')
}

/** A socket of another network namespace: what socket(2), bind(2), connect(2) and listen(2) are told. */
export interface SocketInOptions {
  family: 'inet' | 'inet6' | 'packet'
  type: 'stream' | 'dgram' | 'raw'
  /** IPPROTO_…; 0 (the default) is the usual one of the type. */
  protocol?: number
  /** A numeric address. */
  bind?: { address: string; port: number }
  /** SO_REUSEADDR. */
  reuse?: boolean
  /** IP_FREEBIND: the address need not be there yet. */
  freebind?: boolean
  /** listen(2) with this backlog. */
  listen?: number
  /** connect(2) to a numeric address; a stream's connection is still being made when the call returns. */
  connect?: { address: string; port: number }
}

const families = { inet: 2, inet6: 10, netlink: 16, packet: 17 } as const
const types = { stream: SOCK_STREAM, dgram: SOCK_DGRAM, raw: SOCK_RAW } as const

/**
 * A non-blocking socket that belongs to another network namespace (undefined: our own). A socket belongs to the namespace that its thread
 * was in when it was made, so the thread goes there and back within one call; were it unable to come back, the
 * process would end. Main thread only. IPv6 sockets are IPv6 only.
 */
export function openSocketIn(netnsFd: number | undefined, options: SocketInOptions): number {
  const { family, type, protocol = 0, bind, connect } = options
  if (families[family] === undefined) throw bad('family', `is unknown: ${String(family)}`)
  if (types[type] === undefined) throw bad('type', `is unknown: ${String(type)}`)
  checkName(bind, 'bind', family)
  checkName(connect, 'connect', family)
  const fd = openIn(netnsFd, families[family], types[type], checkInteger(protocol, 'protocol', 0, 0xffff))
  try {
    if (options.reuse === true) check(native.setReuseAddress(fd), 'setsockopt(SO_REUSEADDR)')
    if (family === 'inet6') check(native.setV6Only(fd), 'setsockopt(IPV6_V6ONLY)')
    if (options.freebind === true) check(native.setFreeBind(fd), 'setsockopt(IP_FREEBIND)')
    if (bind) name('bind', { fd, family, place: bind })
    if (connect) name('connect', { fd, family, place: connect })
    if (options.listen !== undefined) {
      check(native.listenSocket(fd, checkInteger(options.listen, 'listen', 1, 65535)), 'listen')
    }
    return fd
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

/** An AF_NETLINK socket of another network namespace, blocking as netlink libraries expect. */
export function openNetlinkSocketIn(netnsFd: number, protocol: number): number {
  return openIn(netnsFd, families.netlink, SOCK_RAW, checkInteger(protocol, 'protocol', 0, 31))
}

/** NETLINK_ADD_MEMBERSHIP: RTNLGRP_…, NFNLGRP_…. What the kernel tells the group comes on this socket too. */
export function joinNetlinkGroup(fd: number, group: number): void {
  check(
    native.joinNetlinkGroup(checkFd(fd), checkInteger(group, 'group', 1, 0xffff)),
    'setsockopt(NETLINK_ADD_MEMBERSHIP)',
    { hints: { EPERM: 'CAP_NET_ADMIN is needed: run Holdfast as root.' } },
  )
}

function openIn(netnsFd: number | undefined, family: number, type: number, protocol: number): number {
  const netns = netnsFd === undefined ? -1 : checkFd(netnsFd, 'netnsFd')
  return check(native.openSocketIn(netns, family, type, protocol), 'socket', {
    hints: { EINVAL: 'The descriptor is no network namespace.', EXDEV: 'Only the main thread may do this.' },
  })
}

interface Place {
  address: string
  port: number
}

function checkName(place: Place | undefined, field: string, family: SocketInOptions['family']): void {
  if (!place) return
  checkPath(place.address, `${field}.address`)
  checkInteger(place.port, `${field}.port`, 0, 65535)
  if (family === 'packet') throw bad(field, 'does not apply to packet sockets')
}

function name(
  syscall: 'bind' | 'connect',
  { fd, family, place }: { fd: number; family: SocketInOptions['family']; place: Place },
): void {
  const { address, port } = place
  const number = families[family]
  const result =
    syscall === 'bind'
      ? native.bindSocket(fd, number, address, port)
      : native.connectSocket(fd, number, address, port)
  const errno = result < 0 ? errnoName(-result) : ''
  if (errno === 'EINPROGRESS') return
  if (errno === 'EAFNOSUPPORT') throw bad(`${syscall}.address`, `is not an address: ${address}`)
  check(result, syscall, { path: family === 'inet6' ? `[${address}]:${port}` : `${address}:${port}` })
}
