/**
 * Netlink messages as bytes: netlink(7), linux/netlink.h. Numbers of their headers are in the machine's order, which is
 * little-endian here (x64, arm64).
 *
 *   header: u32 length, u16 type, u16 flags, u32 sequence, u32 port   then the family's own header, and attributes
 *   attribute: u16 length, u16 type, data, padding to four bytes
 */

export const NLM_F_REQUEST = 0x1
/** netlink(7). */
export const NLM_F_ACK = 0x4
export const NLM_F_EXCL = 0x200
export const NLM_F_DUMP = 0x300
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800
export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff
const headerBytes = 16
const attributeHeaderBytes = 4

/** One message of a datagram. */
export interface NetlinkMessage {
  type: number
  /** What follows the header. A view of what it was read from. */
  payload: Buffer
}

/** A request; `flags`: beyond NLM_F_REQUEST. */
export function netlinkRequest(
  { type, flags = 0, sequence = 0 }: { type: number; flags?: number; sequence?: number },
  payload: readonly Uint8Array[],
): Buffer {
  const header = Buffer.alloc(headerBytes)
  const message = Buffer.concat([header, ...payload])
  message.writeUInt32LE(message.length, 0)
  message.writeUInt16LE(type, 4)
  message.writeUInt16LE(NLM_F_REQUEST | flags, 6)
  message.writeUInt32LE(sequence, 8)
  return message
}

/** The messages of a datagram, up to one that is cut off. */
export function netlinkMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = []
  for (let at = 0; at + headerBytes <= datagram.length;) {
    const length = datagram.readUInt32LE(at)
    if (length < headerBytes || at + length > datagram.length) break
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      payload: datagram.subarray(at + headerBytes, at + length),
    })
    at += aligned(length)
  }
  return messages
}

/** The errno of an NLMSG_ERROR; 0: an acknowledgement. */
export function netlinkErrno({ payload }: NetlinkMessage): number {
  return -payload.readInt32LE(0)
}

/** One attribute with its header, padded to four bytes. */
export function netlinkAttribute(type: number, data: Uint8Array): Buffer {
  const attribute = Buffer.alloc(aligned(attributeHeaderBytes + data.length))
  attribute.writeUInt16LE(attributeHeaderBytes + data.length, 0)
  attribute.writeUInt16LE(type, 2)
  attribute.set(data, attributeHeaderBytes)
  return attribute
}

/** An attribute that holds attributes. */
export function nestedAttribute(type: number, attributes: readonly Uint8Array[]): Buffer {
  return netlinkAttribute(type | NLA_F_NESTED, Buffer.concat(attributes))
}

/** The attributes that follow a family's header, by type; of one that is there twice, the last. */
export function netlinkAttributes(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + attributeHeaderBytes <= data.length;) {
    const length = data.readUInt16LE(at)
    if (length < attributeHeaderBytes || at + length > data.length) break
    found.set(
      data.readUInt16LE(at + 2) & NLA_TYPE_MASK,
      data.subarray(at + attributeHeaderBytes, at + length),
    )
    at += aligned(length)
  }
  return found
}

function aligned(length: number): number {
  return (length + 3) & ~3
}
