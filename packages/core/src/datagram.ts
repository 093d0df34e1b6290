/** Datagram sockets that read and answer without a stream, an event object or a string per datagram. */
import { bad } from './argument.ts'
import { closeFd } from './descriptor.ts'
import { addon, check, errnoName } from './native.ts'
import { openSocketIn } from './socket.ts'
import { watchFd } from './watch.ts'

const native = addon as {
  peerSize(): number
  receiveFrom(fd: number, data: Uint8Array, peer: Uint8Array): number
  sendTo(fd: number, data: Uint8Array, peer: Uint8Array | undefined): number
  tellLocalAddress(fd: number, family: number): number
}

/** Who sent a datagram, and to which of our addresses: opaque bytes, equal for equal peers. */
export type Peer = Uint8Array

/** Where a udp socket is, and whom it hears. Addresses are numeric. */
export interface DatagramOptions {
  /** Descriptor of the network namespace that the socket is in; absent: our own. */
  netns?: number | undefined
  bind?: { address: string; port: number }
  /** Only this peer is heard, and sent to. */
  connect?: { address: string; port: number }
  /** IP_FREEBIND: the address need not be there yet. */
  freebind?: boolean
}

/** A socket that is there already, with what waits in it. It is taken over, also where that fails. */
export interface DatagramDescriptor {
  fd: number
}

/** Called from the event loop, never before `openDatagrams` has returned. */
export interface DatagramHandlers {
  /** Both are views that the next datagram overwrites: copy what is kept. */
  onMessage: (message: Uint8Array, peer: Peer) => void
  /** What the network says of an earlier datagram, ECONNREFUSED for one. The socket goes on. */
  onError: (code: string) => void
}

/** An open udp socket. */
export interface DatagramSocket {
  /** It stays the socket's. */
  readonly fd: number
  /**
   * To `peer`, or to the one of `connect`. False where the kernel did not take it: no buffer space, no route. A datagram
   * may be lost anyway.
   */
  send(message: Uint8Array, peer?: Peer): boolean
  close(): void
}

/** How many datagrams are read before other events get their turn. */
const mostAtOnce = 64

/** The longest datagram, and one byte more; made at first use, and then only as much memory as datagrams are long. */
let buffer: Uint8Array | undefined
let peer: Uint8Array | undefined

const AF_INET = 2
const AF_INET6 = 10

/** Throws SyscallError where the address is taken or not there. Main thread only, for another namespace. */
export function openDatagrams(
  options: DatagramOptions | DatagramDescriptor,
  handlers: DatagramHandlers,
): DatagramSocket {
  const fd = 'fd' in options ? options.fd : openSocket(options)
  try {
    return watched(fd, handlers)
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function openSocket({ netns, bind, connect, freebind = false }: DatagramOptions): number {
  const place = bind ?? connect
  if (!place) throw bad('bind', 'is missing')
  const family = place.address.includes(':') ? 'inet6' : 'inet'
  const fd = openSocketIn(netns, {
    family,
    type: 'dgram',
    freebind,
    ...(bind && { bind }),
    ...(connect && { connect }),
  })
  try {
    // An address that was not there when it was bound is not the source of what is sent, unless that is said each time.
    const ambiguous = bind && (freebind || bind.address === '0.0.0.0' || bind.address === '::')
    if (ambiguous)
      check(native.tellLocalAddress(fd, family === 'inet6' ? AF_INET6 : AF_INET), 'setsockopt(PKTINFO)')
    return fd
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function watched(fd: number, handlers: DatagramHandlers): DatagramSocket {
  let open = true
  const isOpen = () => open
  const watch = watchFd(fd, { readable: true }, ({ error }) => {
    receive(fd, handlers, isOpen)
    // libuv stops watching a socket with an error; reading has cleared it.
    if (error && open) watch.update({ readable: true })
  })
  return {
    fd,
    send: (message, to) => {
      if (!open) return false
      return native.sendTo(fd, message, to) >= 0
    },
    close: () => {
      if (!open) return
      open = false
      watch.close()
      closeFd(fd)
    },
  }
}

function receive(fd: number, { onMessage, onError }: DatagramHandlers, isOpen: () => boolean): void {
  buffer ??= new Uint8Array(65_536)
  peer ??= new Uint8Array(native.peerSize())
  for (let count = 0; count < mostAtOnce && isOpen(); count++) {
    const length = native.receiveFrom(fd, buffer, peer)
    if (length >= 0) {
      onMessage(buffer.subarray(0, length), peer)
      continue
    }
    const code = errnoName(-length)
    if (code === 'EAGAIN') return
    onError(code)
  }
}
