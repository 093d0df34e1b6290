/** What the kernel tells without being asked: a netlink socket that is a member of multicast groups. */
import { closeFd, joinNetlinkGroup, readFdInto, watchFd, writeFd } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { formatHeader, HEADER_LENGTH, parseMessages } from 'netlink/dist/structs.js'
import { openNetlinkDescriptor } from './netlink.ts'

const NLMSG_NOOP = 1
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
  const fd = openNetlinkDescriptor(options.protocol, options.netns)
  try {
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
  return formatHeader({ length: HEADER_LENGTH, type: NLMSG_NOOP, flags: 0, seq: 0, port: 0 })
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
  const notifications = messages(buffer.subarray(0, length))
  if (notifications) for (const each of notifications) options.message(each)
  else options.overrun()
  return true
}

/** Undefined for a datagram that was cut off. Their data are views of it. */
export function messages(datagram: Buffer): Notification[] | undefined {
  try {
    return parseMessages(datagram)
  } catch {
    return undefined
  }
}
