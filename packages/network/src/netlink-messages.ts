/**
 * Netlink messages and attributes (netlink(7)) and the fixed beginnings of rtnetlink's (rtnetlink(7)), in the
 * machine's own order of bytes, which is little-endian. Written here because a program that is started anew for
 * each container can't afford to load a general library: see docs/decisions/0020.
 */

const headerLength = 16
const attributeMax = 0xffff
const NLA_F_NESTED = 1 << 15
const NLA_TYPE_MASK = 0x3fff

export interface NetlinkMessage {
  type: number
  flags: number
  seq: number
  /** Whom it is for; 0 in notifications. */
  port: number
  data: Buffer
}

/** struct nlmsghdr and what follows, padded to four bytes. */
export function formatMessage(message: {
  type: number
  flags: number
  seq: number
  data: Uint8Array[]
}): Buffer {
  const length = headerLength + message.data.reduce((sum, part) => sum + part.length, 0)
  const bytes = Buffer.alloc((length + 3) & ~3)
  bytes.writeUInt32LE(length, 0)
  bytes.writeUInt16LE(message.type, 4)
  bytes.writeUInt16LE(message.flags, 6)
  bytes.writeUInt32LE(message.seq, 8)
  let at = headerLength
  for (const part of message.data) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** All messages of a datagram; their data are views of it. */
export function parseMessages(bytes: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = []
  for (let at = 0; at < bytes.length;) {
    const length = at + headerLength <= bytes.length ? bytes.readUInt32LE(at) : 0
    if (length < headerLength || at + length > bytes.length)
      throw new Error(`a netlink message of ${length} bytes`)
    messages.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      seq: bytes.readUInt32LE(at + 8),
      port: bytes.readUInt32LE(at + 12),
      data: bytes.subarray(at + headerLength, at + length),
    })
    at += (length + 3) & ~3
  }
  return messages
}

/** The errno of an NLMSG_ERROR, negative, or 0 for an acknowledgement. */
export function parseErrno(data: Buffer): number {
  return data.readInt32LE(0)
}

/** struct nlattr and what follows, padded to four bytes. At most 65,531 bytes of data. */
export function formatAttribute(type: number, data: Uint8Array[], isNested: boolean): Buffer {
  const length = 4 + data.reduce((sum, part) => sum + part.length, 0)
  if (length > attributeMax)
    throw new Error(`an attribute’s length of ${length} is more than netlink has room for`)
  const bytes = Buffer.alloc((length + 3) & ~3)
  bytes.writeUInt16LE(length, 0)
  bytes.writeUInt16LE((type & NLA_TYPE_MASK) | (isNested ? NLA_F_NESTED : 0), 2)
  let at = 4
  for (const part of data) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export function parseAttributes(bytes: Buffer, visit: (type: number, data: Buffer) => void): void {
  for (let at = 0; at < bytes.length;) {
    const length = at + 4 <= bytes.length ? bytes.readUInt16LE(at) : 0
    if (length < 4 || at + length > bytes.length)
      throw new Error(`a netlink attribute of ${length} bytes among ${bytes.length - at}`)
    visit(bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
}

/** struct ifinfomsg. `flags` and `change` are IFF_ bits. */
export function linkHeader({ index = 0, flags = 0, change = 0, family = 0 } = {}): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt8(family, 0)
  bytes.writeInt32LE(index, 4)
  bytes.writeUInt32LE(flags, 8)
  bytes.writeUInt32LE(change, 12)
  return bytes
}

/** struct ifaddrmsg. `flags` are IFA_F_ bits, as far as eight go. */
export function addressHeader({ family = 0, prefixLength = 0, flags = 0, index = 0 } = {}): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt8(family, 0)
  bytes.writeUInt8(prefixLength, 1)
  bytes.writeUInt8(flags, 2)
  bytes.writeUInt32LE(index, 4)
  return bytes
}

/** struct rtmsg. */
export function routeHeader({
  family = 0,
  prefixLength = 0,
  table = 0,
  protocol = 0,
  scope = 0,
  type = 0,
} = {}): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.set([family, prefixLength, 0, 0, table, protocol, scope, type])
  return bytes
}

/** struct ndmsg. `state` is a NUD_ bit. */
export function neighbourHeader({ family = 0, index = 0, state = 0 } = {}): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt8(family, 0)
  bytes.writeInt32LE(index, 4)
  bytes.writeUInt16LE(state, 8)
  return bytes
}
