/** The few requests of rtnetlink(7) that moving a device takes. Synchronous: the kernel answers within the call. */
import {
  closeFd,
  errnoName,
  netlinkErrno,
  netlinkMessages,
  netlinkRequest,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLMSG_DONE,
  NLMSG_ERROR,
  openNetlinkSocketIn,
  receiveMessage,
  writeFd,
} from '@holdfast/core'
import { SyscallError } from '@holdfast/errors'

export const RTM_GETLINK = 18
export const RTM_SETLINK = 19
export const RTM_NEWADDR = 20
export const RTM_GETADDR = 22

const NETLINK_ROUTE = 0

export class RouteSocket {
  readonly #fd: number
  #sequence = 0

  /** Of the network namespace that the descriptor is of. */
  constructor(netns: number) {
    this.#fd = openNetlinkSocketIn(netns, NETLINK_ROUTE)
  }

  close(): void {
    closeFd(this.#fd)
  }

  /** The payloads of what is answered beside the acknowledgement. Throws SyscallError; `what` is its path. */
  acknowledged(type: number, flags: number, payload: Buffer, what: string): Buffer[] {
    return this.#request(type, flags | NLM_F_ACK, payload, what)
  }

  /** The payloads of everything that there is of a kind. */
  dump(type: number, payload: Buffer, what: string): Buffer[] {
    return this.#request(type, NLM_F_DUMP, payload, what)
  }

  #request(type: number, flags: number, payload: Buffer, what: string): Buffer[] {
    writeFd(this.#fd, netlinkRequest({ type, flags, sequence: ++this.#sequence }, [payload]))
    const replies: Buffer[] = []
    for (;;) {
      const datagram = receiveMessage(this.#fd, 65_536)
      if (datagram === undefined || takeReplies(datagram.data, replies, what)) return replies
    }
  }
}

/** True at the end of the answer. */
function takeReplies(datagram: Buffer, replies: Buffer[], what: string): boolean {
  for (const message of netlinkMessages(datagram)) {
    if (message.type === NLMSG_DONE) return true
    if (message.type === NLMSG_ERROR) {
      const errno = netlinkErrno(message)
      if (errno === 0) return true
      throw new SyscallError({ errno, code: errnoName(errno), syscall: 'rtnetlink', path: what })
    }
    replies.push(Buffer.from(message.payload))
  }
  return false
}
