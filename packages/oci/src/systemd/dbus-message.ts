/**
 * D-Bus messages (dbus.freedesktop.org/doc/dbus-specification.html), as far as systemd's manager needs them: the types
 * y b i u x t s o g v, arrays and structures, little-endian.
 *
 *   'l', u8 type, u8 flags, u8 version 1, u32 body's length, u32 serial, a(yv) header fields, padding to 8, body
 */
import { HoldfastError } from '@holdfast/errors'

export type DbusValue = number | bigint | boolean | string | Variant | readonly DbusValue[]

export interface Variant {
  signature: string
  value: DbusValue
}

export interface DbusMessage {
  type: 'call' | 'return' | 'error' | 'signal'
  serial: number
  path?: string
  interface?: string
  member?: string
  error?: string
  replySerial?: number
  destination?: string
  readonly body: DbusValue[]
}

const types = ['invalid', 'call', 'return', 'error', 'signal'] as const
const version = 1
const fieldCodes = { path: 1, interface: 2, member: 3, error: 4, replySerial: 5, destination: 6 } as const
const fieldSignatures = {
  path: 'o',
  interface: 's',
  member: 's',
  error: 's',
  replySerial: 'u',
  destination: 's',
} as const
const signatureField = 8
type FieldName = keyof typeof fieldCodes
const fieldNames = Object.keys(fieldCodes) as FieldName[]

export function encodeMessage(message: DbusMessage, signature: string): Buffer {
  const body = new Writer()
  completeTypes(signature).forEach((type, index) => body.put(type, message.body[index]!))
  const fields: DbusValue[] = fieldNames.flatMap((name) => {
    const value = message[name]
    return value === undefined ? [] : [[fieldCodes[name], { signature: fieldSignatures[name], value }]]
  })
  if (signature !== '') fields.push([signatureField, { signature: 'g', value: signature }])
  const head = new Writer()
  for (const byte of ['l'.charCodeAt(0), types.indexOf(message.type), 0, version]) head.put('y', byte)
  head.put('u', body.length)
  head.put('u', message.serial)
  head.put('a(yv)', fields)
  head.align(8)
  return Buffer.concat([head.bytes(), body.bytes()])
}

/** The message at the start of `bytes` and its length; undefined while some of it is missing. */
export function decodeMessage(bytes: Buffer): { message: DbusMessage; length: number } | undefined {
  if (bytes.length < 16) return undefined
  if (bytes[0] !== 'l'.charCodeAt(0) || bytes[3] !== version)
    throw new HoldfastError('HF_PROTOCOL', 'no little-endian D-Bus message of version 1')
  const bodyAt = padded(16 + bytes.readUInt32LE(12), 8)
  const length = bodyAt + bytes.readUInt32LE(4)
  if (bytes.length < length) return undefined
  const reader = new Reader(bytes.subarray(0, length), 12)
  const head: Omit<DbusMessage, 'body'> = {
    type: types[bytes[1]!] as DbusMessage['type'],
    serial: bytes.readUInt32LE(8),
  }
  let signature = ''
  for (const [code, field] of reader.take('a(yv)') as [number, Variant][]) {
    const name = fieldNames.find((each) => fieldCodes[each] === code)
    if (name) Object.assign(head, { [name]: field.value })
    if (code === signatureField) signature = field.value as string
  }
  reader.align(8)
  const read = (): DbusValue[] => completeTypes(signature).map((type) => reader.take(type))
  let body: DbusValue[] | undefined
  // Read where it is wanted: the bodies of other signals have types that are not spoken here.
  const message = {
    ...head,
    get body() {
      return (body ??= read())
    },
  }
  return { message, length }
}

/** `oa(sv)u` → `o`, `a(sv)`, `u`. */
function completeTypes(signature: string): string[] {
  const found: string[] = []
  for (let at = 0; at < signature.length;) {
    let end = at
    while (signature[end] === 'a') end++
    for (let depth = 0; ; end++) {
      if (signature[end] === '(') depth++
      if (signature[end] === ')') depth--
      if (depth === 0) break
      if (end >= signature.length) throw new HoldfastError('HF_PROTOCOL', `no D-Bus signature: ${signature}`)
    }
    found.push(signature.slice(at, ++end))
    at = end
  }
  return found
}

const padded = (at: number, size: number): number => Math.ceil(at / size) * size
const inner = (type: string): string => type.slice(1, -1)

function alignmentOf(type: string): number {
  if ('ygv'.includes(type[0]!)) return 1
  return 'xt('.includes(type[0]!) ? 8 : 4
}

class Writer {
  readonly #parts: Buffer[] = []
  length = 0

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }

  align(size: number): void {
    this.#add(Buffer.alloc(padded(this.length, size) - this.length))
  }

  put(type: string, value: DbusValue): void {
    this.align(alignmentOf(type))
    const part = Buffer.alloc(alignmentOf(type))
    switch (type.charAt(0)) {
      case 'y':
        part.writeUInt8(value as number)
        return this.#add(part)
      case 'b':
        part.writeUInt32LE(value ? 1 : 0)
        return this.#add(part)
      case 'u':
        part.writeUInt32LE(value as number)
        return this.#add(part)
      case 'i':
        part.writeInt32LE(value as number)
        return this.#add(part)
      case 't':
        part.writeBigUInt64LE(BigInt(value as bigint))
        return this.#add(part)
      case 'x':
        part.writeBigInt64LE(BigInt(value as bigint))
        return this.#add(part)
      case 's':
      case 'o':
        this.put('u', Buffer.byteLength(value as string))
        return this.#add(Buffer.from(`${value as string}\0`))
      case 'g':
        this.put('y', (value as string).length)
        return this.#add(Buffer.from(`${value as string}\0`))
      case 'v':
        this.put('g', (value as Variant).signature)
        return this.put((value as Variant).signature, (value as Variant).value)
      case '(':
        return completeTypes(inner(type)).forEach((each, at) => this.put(each, (value as DbusValue[])[at]!))
      case 'a':
        return this.#putArray(type.slice(1), value as DbusValue[])
      default:
        throw new HoldfastError('HF_INTERNAL', `no D-Bus type that is spoken here: ${type}`)
    }
  }

  /** Its length counts the elements, without the padding before the first. */
  #putArray(type: string, values: readonly DbusValue[]): void {
    const size = Buffer.alloc(4)
    this.#add(size)
    this.align(alignmentOf(type))
    const start = this.length
    for (const value of values) this.put(type, value)
    size.writeUInt32LE(this.length - start)
  }

  #add(part: Buffer): void {
    this.#parts.push(part)
    this.length += part.length
  }
}

class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  align(size: number): void {
    this.#at = padded(this.#at, size)
  }

  take(type: string): DbusValue {
    this.align(alignmentOf(type))
    const at = this.#at
    switch (type.charAt(0)) {
      case 'y':
        this.#at += 1
        return this.#bytes.readUInt8(at)
      case 'b':
        return this.take('u') !== 0
      case 'u':
        this.#at += 4
        return this.#bytes.readUInt32LE(at)
      case 'i':
        this.#at += 4
        return this.#bytes.readInt32LE(at)
      case 't':
        this.#at += 8
        return this.#bytes.readBigUInt64LE(at)
      case 'x':
        this.#at += 8
        return this.#bytes.readBigInt64LE(at)
      case 's':
      case 'o':
        return this.#text(this.take('u') as number)
      case 'g':
        return this.#text(this.take('y') as number)
      case 'v': {
        const signature = this.take('g') as string
        return { signature, value: this.take(signature) }
      }
      case '(':
        return completeTypes(inner(type)).map((each) => this.take(each))
      case 'a':
        return this.#array(type.slice(1))
      default:
        throw new HoldfastError('HF_PROTOCOL', `no D-Bus type that is spoken here: ${type}`)
    }
  }

  #text(length: number): string {
    const text = this.#bytes.toString('utf8', this.#at, this.#at + length)
    this.#at += length + 1
    return text
  }

  #array(type: string): DbusValue[] {
    const size = this.take('u') as number
    this.align(alignmentOf(type))
    const end = this.#at + size
    const values: DbusValue[] = []
    while (this.#at < end) values.push(this.take(type))
    return values
  }
}
