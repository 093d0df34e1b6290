import { isIPv4 } from 'node:net'

/** An IPv4 address with its prefix length; undefined for anything else. */
export function parseCidr(text: string): { address: string; prefixLength: number } | undefined {
  const [address = '', prefix = '', ...rest] = text.split('/')
  if (rest.length > 0 || !isIPv4(address) || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 32) return undefined
  return { address, prefixLength: Number(prefix) }
}
