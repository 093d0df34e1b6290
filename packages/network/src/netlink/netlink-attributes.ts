/**
 * Attributes of netlink messages: type, length, data, padding. The one place where their length is checked.
 */
import { align, formatAttribute, parseAttributes } from 'netlink/dist/structs.js'

/**
 * One attribute, padded to four bytes. At most 65,531 bytes of data, since its length is a u16 with the
 * header.
 */
export function attribute(type: number, data: Uint8Array | Uint8Array[]): Buffer {
  return padded(formatAttribute({ type, data }))
}

/** An attribute that holds attributes. */
export function nested(type: number, attributes: Uint8Array[]): Buffer {
  return padded(formatAttribute({ type, data: attributes, nested: true }))
}

/** The parts as one, with zeros up to the next multiple of four bytes. */
export function padded(parts: Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat(parts, align(length))
}

/** Attributes by type; of one that is there twice, the last. */
export function attributesOf(data: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>()
  parseAttributes(data, ({ type, data: value }) => attributes.set(type, value))
  return attributes
}

/** Attributes in order: for lists, whose elements share a type; `only`: what else is among them is left out. */
export function attributeList(data: Buffer, only?: number): Buffer[] {
  const attributes: Buffer[] = []
  parseAttributes(data, ({ type, data: value }) => {
    if (only === undefined || type === only) attributes.push(value)
  })
  return attributes
}

/** A C string. */
export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`)
}

/** The text of a C string. */
export function textOf(data: Buffer | undefined): string | undefined {
  if (!data) return undefined
  const end = data.indexOf(0)
  return data.toString('utf8', 0, end < 0 ? data.length : end)
}

/** Holdfast runs on little-endian machines alone: x64 and arm64. */
export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32LE(value)
  return bytes
}
