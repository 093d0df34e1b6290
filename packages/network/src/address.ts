/** IPv4 and IPv6 addresses and prefixes as text, bytes and numbers. */
import { HoldfastError } from '@holdfast/errors'

/** The version of the Internet Protocol. */
export type Family = 4 | 6

/** `value`: the address as a number of 32 or 128 bits, in the order of the network. */
export interface Address {
  family: Family
  value: bigint
}

/** A network: `value` has no bit set behind `length`. */
export interface Prefix extends Address {
  length: number
}

export const familyBits: Readonly<Record<Family, number>> = { 4: 32, 6: 128 }

export function parseAddress(text: string, field: string): Address {
  const family = familyOf(text)
  if (family === 4) return { family, value: bytesToValue(text.split('.').map(Number)) }
  if (family === 6) return { family, value: parseIpv6(text) }
  throw new HoldfastError('HF_BAD_REQUEST', `${field}: '${text}' is not an IP address`, {
    details: { field },
  })
}

const byte = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const dotted = new RegExp(`^${byte}(?:\\.${byte}){3}$`)

/** Without node:net, whose loading takes as long as attaching a container. Zones (`%eth0`) are refused. */
function familyOf(text: string): Family | 0 {
  if (dotted.test(text)) return 4
  const [head = '', tail, more] = text.split('::')
  if (!text.includes(':') || more !== undefined) return 0
  const groups = [head, tail ?? ''].flatMap((half) => (half === '' ? [] : half.split(':')))
  const last = text.endsWith(':') ? '' : (groups.at(-1) ?? '')
  const hasDotted = dotted.test(last)
  const count = groups.length + (hasDotted ? 1 : 0)
  if (tail === undefined ? count !== 8 : count > 7) return 0
  return (hasDotted ? groups.slice(0, -1) : groups).every((group) => /^[0-9a-f]{1,4}$/i.test(group)) ? 6 : 0
}

/** `10.1.2.3/24`: the address and its length. HF_BAD_REQUEST, with `field` in its message and details, for anything else. */
export function parseInterfaceAddress(text: string, field: string): Prefix {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text)
  const address = match && parseAddress(match[1]!, field)
  if (!address || Number(match[2]) > familyBits[address.family]) {
    throw new HoldfastError('HF_BAD_REQUEST', `${field}: '${text}' is not an address with a prefix length`, {
      hint: 'Write it as 10.1.2.0/24 or fd00:1::/64.',
      details: { field },
    })
  }
  return { ...address, length: Number(match[2]) }
}

/** `10.1.2.0/24`: bits behind the prefix are refused, since they are usually a mistake. */
export function parsePrefix(text: string, field: string): Prefix {
  const prefix = parseInterfaceAddress(text, field)
  const network = networkOf(prefix, prefix.length)
  if (network.value !== prefix.value) {
    throw new HoldfastError('HF_BAD_REQUEST', `${field}: '${text}' has bits set behind its prefix`, {
      hint: `The network is ${formatPrefix(network)}.`,
      details: { field },
    })
  }
  return prefix
}

/** The network of `length` bits that an address lies in: its other bits are 0. */
export function networkOf(address: Address, length: number): Prefix {
  const hostBits = BigInt(familyBits[address.family] - length)
  return { family: address.family, value: (address.value >> hostBits) << hostBits, length }
}

export function contains(prefix: Prefix, address: Address): boolean {
  return prefix.family === address.family && networkOf(address, prefix.length).value === prefix.value
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? contains(a, b) : contains(b, a)
}

/** The last address of a network. */
export function lastAddress(prefix: Prefix): bigint {
  return prefix.value + (1n << BigInt(familyBits[prefix.family] - prefix.length)) - 1n
}

/** `10.1.2.0/24`, `fd00:1::/64`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`
}

/** Canonical text, RFC 5952 for IPv6. */
export function formatAddress({ family, value }: Address): string {
  const bytes = addressBytes({ family, value })
  if (family === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2))
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${bytes.subarray(12).join('.')}`
  }
  const { start, length } = longestZeros(groups)
  const hex = groups.map((group) => group.toString(16))
  if (length < 2) return hex.join(':')
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`
}

export function addressBytes({ family, value }: Address): Buffer {
  return Buffer.from(value.toString(16).padStart(familyBits[family] / 4, '0'), 'hex')
}

export function addressFromBytes(bytes: Buffer): Address {
  return { family: bytes.length === 4 ? 4 : 6, value: bytesToValue([...bytes]) }
}

export function isLoopback(address: Address): boolean {
  return address.family === 4 ? address.value >> 24n === 127n : address.value === 1n
}

/** 0.0.0.0 and ::. */
export function isUnspecified(address: Address): boolean {
  return address.value === 0n
}

/**
 * A locally administered MAC address made from an address: who gets the address later has the same one, so no
 * neighbour's cache is ever wrong about it.
 */
export function macOf(address: Address): string {
  const low = addressBytes(address).subarray(-4)
  return ['0a', '68', ...[...low].map((byte) => byte.toString(16).padStart(2, '0'))].join(':')
}

/** The six bytes of a MAC address. A multicast or zero address is refused, as the kernel would. */
export function macBytes(mac: string, field: string): Buffer {
  const bytes = Buffer.from(mac.replaceAll(/[:-]/g, ''), 'hex')
  if (
    !/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac) ||
    (bytes[0]! & 1) !== 0 ||
    bytes.every((byte) => byte === 0)
  ) {
    throw new HoldfastError('HF_BAD_REQUEST', `${field}: '${mac}' is not a MAC address of one interface`, {
      details: { field },
    })
  }
  return bytes
}

function bytesToValue(bytes: number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

function parseIpv6(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  if (dotted) {
    const low = bytesToValue(dotted[2]!.split('.').map(Number))
    return parseIpv6(`${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`)
  }
  const [head = '', tail] = text.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros: string[] =
    tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => '0')
  return [...left, ...zeros, ...right].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n)
}

function longestZeros(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  groups.forEach((group, index) => {
    if (group !== 0) start = index + 1
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start }
  })
  return best
}
