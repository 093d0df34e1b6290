/** Writes tar archives for tests, in pax format: numbers and names that ustar cannot hold go into an extended header. */
import type { TarEntry, TarEntryType } from './entry.ts'

const flags: Record<TarEntryType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}

/** What differs from an empty file of root's, made at the epoch. */
export type TarSource = Partial<Omit<TarEntry, 'name' | 'linkName' | 'size' | 'sparse'>> & {
  name: string | Buffer
  linkName?: string | Buffer
  data?: Buffer | string
}

/** The whole archive in memory, with its end. */
export function writeTar(sources: TarSource[]): Buffer {
  return Buffer.concat([...sources.map(tarRecord), Buffer.alloc(1024)])
}

/** One entry with its headers, data and padding. */
export function tarRecord(source: TarSource): Buffer {
  const name = Buffer.from(source.name)
  const linkName = Buffer.from(source.linkName ?? '')
  const data = Buffer.from(source.data ?? '')
  const pax = paxRecords(source, name, linkName, data.length)
  const header = tarHeader({
    name: name.subarray(0, 100),
    flag: flags[source.type ?? 'file'],
    size: data.length,
    mode: source.mode ?? (source.type === 'directory' ? 0o755 : 0o644),
    uid: source.uid ?? 0,
    gid: source.gid ?? 0,
    mtime: source.mtime?.seconds ?? 0,
    linkName: linkName.subarray(0, 100),
    ...(source.device && { device: source.device }),
  })
  const extended =
    pax.length === 0
      ? []
      : [tarHeader({ name: Buffer.from('pax'), flag: 'x', size: pax.length }), padded(pax)]
  return Buffer.concat([...extended, header, padded(data)])
}

export interface TarHeaderFields {
  name: Buffer
  flag: string
  size: number
  mode?: number
  uid?: number
  gid?: number
  mtime?: number
  linkName?: Buffer
  device?: { major: number; minor: number }
}

/** One ustar block. Numbers that don't fit are written as 0: a pax header has to hold them. */
export function tarHeader(fields: TarHeaderFields): Buffer {
  const block = Buffer.alloc(512)
  const octal = (value: number, offset: number, length: number) => {
    const digits = value.toString(8)
    block.write(
      (value >= 0 && digits.length < length ? digits : '0').padStart(length - 1, '0'),
      offset,
      'latin1',
    )
  }
  fields.name.copy(block, 0)
  octal(fields.mode ?? 0o644, 100, 8)
  octal(fields.uid ?? 0, 108, 8)
  octal(fields.gid ?? 0, 116, 8)
  octal(fields.size, 124, 12)
  octal(fields.mtime ?? 0, 136, 12)
  block.write(fields.flag, 156, 'latin1')
  fields.linkName?.copy(block, 157)
  block.write('ustar\x0000', 257, 'latin1')
  octal(fields.device?.major ?? 0, 329, 8)
  octal(fields.device?.minor ?? 0, 337, 8)
  return withChecksum(block)
}

/** Fills in the checksum, which counts itself as spaces. */
export function withChecksum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

export function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)])
}

/** One `LENGTH KEY=VALUE\n`; the length counts its own digits. */
export function paxRecord(key: string, value: Buffer | string): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
  let length = rest.length
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

function paxRecords(source: TarSource, name: Buffer, linkName: Buffer, size: number): Buffer {
  const records: Buffer[] = []
  const isAscii = (bytes: Buffer) => bytes.every((byte) => byte < 0x80)
  if (name.length > 100 || !isAscii(name)) records.push(paxRecord('path', name))
  if (linkName.length > 100 || !isAscii(linkName)) records.push(paxRecord('linkpath', linkName))
  if (size > 0o77777777777) records.push(paxRecord('size', String(size)))
  for (const key of ['uid', 'gid'] as const)
    if ((source[key] ?? 0) > 0o7777777) records.push(paxRecord(key, String(source[key])))
  const { seconds, nanoseconds } = source.mtime ?? { seconds: 0, nanoseconds: 0 }
  if (nanoseconds !== 0 || seconds < 0 || seconds > 0o77777777777)
    records.push(paxRecord('mtime', paxTime(seconds, nanoseconds)))
  for (const [key, value] of source.xattrs ?? []) records.push(paxRecord(`SCHILY.xattr.${key}`, value))
  return Buffer.concat(records)
}

function paxTime(seconds: number, nanoseconds: number): string {
  const total = BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)
  const magnitude = total < 0n ? -total : total
  const fraction = (magnitude % 1_000_000_000n).toString().padStart(9, '0')
  return `${total < 0n ? '-' : ''}${magnitude / 1_000_000_000n}.${fraction}`
}
