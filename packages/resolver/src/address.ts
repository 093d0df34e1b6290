/** IP addresses as text and as the bytes of A and AAAA records. This package knows no `node:net`. */

/** 4 or 16 bytes; undefined where the text is no address. An address with a zone (`%eth0`) is none. */
export function addressBytes(text: string): Uint8Array | undefined {
  if (!text.includes(':')) return ipv4Bytes(text)
  const dotted = /^(.*:)([^:]+\..+)$/.exec(text)
  if (!dotted) return ipv6Bytes(text)
  const low = ipv4Bytes(dotted[2]!)
  if (!low) return undefined
  const group = (at: number) => ((low[at]! << 8) | low[at + 1]!).toString(16)
  return ipv6Bytes(`${dotted[1]}${group(0)}:${group(2)}`)
}

/** Canonical text, RFC 5952 for IPv6. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[index * 2]! << 8) | bytes[index * 2 + 1]!)
  const text = groups.map((group) => group.toString(16)).join(':')
  const runs = [...text.matchAll(/(?<![^:])0(?::0)+(?![^:])/g)]
  const longest = runs.toSorted((a, b) => b[0].length - a[0].length)[0]
  if (!longest) return text
  const before = text.slice(0, longest.index).replace(/:$/, '')
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, '')
  return `${before}::${after}`
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined
  return Uint8Array.from(parts, Number)
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [left, right] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const count = left!.length + (right?.length ?? 0)
  if (right ? count > 7 : count !== 8) return undefined
  const groups = [...left!, ...Array.from({ length: 8 - count }, () => '0'), ...(right ?? [])]
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
  )
}
