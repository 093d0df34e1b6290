import { isIPv4 } from 'node:net'

/** An IPv4 address with its prefix length; undefined for anything else. */
export function parseCidr(text: string): { address: string; prefixLength: number } | undefined {
  const [address = '', prefix = '', ...rest] = text.split('/')
  if (rest.length > 0 || !isIPv4(address) || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32)
    return undefined
  return { address, prefixLength: Number(prefix) }
}

/** `10.213.4.9/24` → `10.213.4.0/24`. */
export function networkOf(cidr: string): string {
  const { address, prefixLength } = required(cidr)
  return `${format((toNumber(address) & mask(prefixLength)) >>> 0)}/${prefixLength}`
}

/** The first address of a subnet that a host can have: its gateway, by custom. */
export function firstAddress(cidr: string): string {
  const { address, prefixLength } = required(cidr)
  return format(((toNumber(address) & mask(prefixLength)) >>> 0) + 1)
}

function required(cidr: string): { address: string; prefixLength: number } {
  const parsed = parseCidr(cidr)
  if (!parsed) throw new TypeError(`not an IPv4 prefix: ${cidr}`)
  return parsed
}

function mask(prefixLength: number): number {
  return prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0
}

function toNumber(address: string): number {
  return address.split('.').reduce((value, byte) => value * 256 + Number(byte), 0)
}

function format(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.')
}
