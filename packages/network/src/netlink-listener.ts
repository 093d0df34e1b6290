/** What the kernel tells without being asked: a netlink socket that is a member of multicast groups. */
import {
  closeFd,
  joinNetlinkGroup,
  openNetlinkSocketIn,
  readFdInto,
  setNonblocking,
  watchFd,
  writeFd,
} from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { closeSync, openSync } from 'node:fs'

const headerBytes = 16
/** The most that the kernel puts into one datagram; shared, since it is read and given out in one call. */
const buffer = Buffer.allocUnsafeSlow(65_536)
/** Datagrams that are taken in one turn of the event loop; the rest waits for the next. */
const datagramsPerTurn = 64

export interface Notification {
  type: number
  /** Port of the socket whose request was the cause; 0 where the kernel itself was. */
  port: number
  /** Without the header; valid during the call only. */
  data: Buffer
}

export interface ListenerOptions {
  protocol: number
  groups: number[]
  /** A descriptor of the network namespace; absent: the caller's. */
  netns?: number | undefined
  message(notification: Notification): void
  /** The socket's buffer was full: some messages are lost. */
  overrun(): void
  /** Default false: it does not keep the process alive. */
  keepAlive?: boolean
}

export interface Listener {
  /** The socket, for requests whose answers come as notifications. */
  readonly fd: number
  unref(): void
  close(): void
}

export function listenNetlink(options: ListenerOptions): Listener {
  const own = options.netns === undefined ? openSync('/proc/thread-self/ns/net', 'r') : undefined
  let fd: number
  try {
    fd = openNetlinkSocketIn(options.netns ?? own!, options.protocol)
  } finally {
    if (own !== undefined) closeSync(own)
  }
  try {
    setNonblocking(fd)
    for (const group of options.groups) joinNetlinkGroup(fd, group)
    // Nothing comes to a socket without an address, and sending gives it one.
    writeFd(fd, noop())
    let closed = false
    const watch = watchFd(fd, { readable: true }, ({ error }) => {
      for (let count = 0; count < datagramsPerTurn && !closed && receive(fd, options); count++);
      // An overrun is an error of the socket's, and stops the watch.
      if (error && !closed) watch.update({ readable: true })
    })
    if (!options.keepAlive) watch.unref()
    return {
      fd,
      unref: () => watch.unref(),
      close() {
        if (closed) return
        closed = true
        watch.close()
        closeFd(fd)
      },
    }
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

/** A message that the kernel takes and does nothing with. */
function noop(): Buffer {
  const header = Buffer.alloc(headerBytes)
  header.writeUInt32LE(headerBytes)
  header.writeUInt16LE(1 /* NLMSG_NOOP */, 4)
  return header
}

/** False where nothing is queued. */
function receive(fd: number, options: ListenerOptions): boolean {
  let length: number | undefined
  try {
    length = readFdInto(fd, buffer)
  } catch (error) {
    if (!hasCode(error, 'ENOBUFS')) throw error
    options.overrun()
    return true
  }
  if (length === undefined) return false
  for (const notification of messages(buffer.subarray(0, length))) options.message(notification)
  return true
}

/** By hand and without copies: most messages are thrown away after a look at their header. */
export function* messages(datagram: Buffer): Generator<Notification> {
  for (let at = 0; at + headerBytes <= datagram.length;) {
    const length = datagram.readUInt32LE(at)
    if (length < headerBytes || at + length > datagram.length) return
    yield {
      type: datagram.readUInt16LE(at + 4),
      port: datagram.readUInt32LE(at + 12),
      data: datagram.subarray(at + headerBytes, at + length),
    }
    at += (length + 3) & ~3
  }
}
