/** The few requests of rtnetlink(7) that moving a device takes. Synchronous: the kernel answers within the call. */
import { closeFd, errnoName, openNetlinkSocketIn, receiveMessage, writeFd } from '@holdfast/core'
import { SyscallError } from '@holdfast/errors'

export const RTM_NEWLINK = 16
export const RTM_GETLINK = 18
export const RTM_SETLINK = 19
export const RTM_NEWADDR = 20
export const RTM_GETADDR = 22

export const NLM_F_CREATE_EXCL = 0x600
const NLM_F_REQUEST = 0x1
const NLM_F_ACK = 0x4
const NLM_F_DUMP = 0x300
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const headerBytes = 16
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
  request(type: number, flags: number, payload: Buffer, what: string): Buffer[] {
    const head = Buffer.alloc(headerBytes)
    head.writeUInt32LE(headerBytes + payload.length, 0)
    head.writeUInt16LE(type, 4)
    head.writeUInt16LE(NLM_F_REQUEST | flags, 6)
    head.writeUInt32LE(++this.#sequence, 8)
    writeFd(this.#fd, Buffer.concat([head, payload]))
    const replies: Buffer[] = []
    for (;;) {
      const message = receiveMessage(this.#fd, 65_536)
      if (message === undefined || this.#take(message.data, replies, what)) return replies
    }
  }

  acknowledged(type: number, flags: number, payload: Buffer, what: string): Buffer[] {
    return this.request(type, flags | NLM_F_ACK, payload, what)
  }

  dump(type: number, payload: Buffer, what: string): Buffer[] {
    return this.request(type, NLM_F_DUMP, payload, what)
  }

  /** True at the end of the answer. */
  #take(data: Buffer, replies: Buffer[], what: string): boolean {
    for (let at = 0; at + headerBytes <= data.length;) {
      const length = data.readUInt32LE(at)
      const type = data.readUInt16LE(at + 4)
      const payload = data.subarray(at + headerBytes, at + length)
      if (type === NLMSG_DONE) return true
      if (type === NLMSG_ERROR) {
        const errno = -payload.readInt32LE(0)
        if (errno === 0) return true
        throw new SyscallError({ errno, code: errnoName(errno), syscall: 'rtnetlink', path: what })
      }
      replies.push(Buffer.from(payload))
      at += aligned(length)
    }
    return false
  }
}

/** One attribute, padded. */
export function attribute(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt16LE(4 + data.length, 0)
  head.writeUInt16LE(type, 2)
  return Buffer.concat([head, data, Buffer.alloc(aligned(data.length) - data.length)])
}

export function attributes(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= data.length;) {
    const length = data.readUInt16LE(at)
    if (length < 4) break
    found.set(data.readUInt16LE(at + 2) & 0x3fff, data.subarray(at + 4, at + length))
    at += aligned(length)
  }
  return found
}

function aligned(length: number): number {
  return (length + 3) & ~3
}
