/** Owner, mode, attributes and times of what was just made, in the order in which they don't undo each other. */
import { hasCode } from '@holdfast/errors'
import { fchmod, fchmodat, fchownat, fsetxattr, utimensat } from '@holdfast/core'
import { corrupt } from '../tar/corrupt.ts'
import type { TarEntry, Timestamp } from '../tar/entry.ts'

/**
 * Applies everything but the times to the open file or directory `fd`. chown(2) takes setuid, setgid and file
 * capabilities away, so it comes first.
 */
export function applyAttributes(fd: number, entry: TarEntry): void {
  fchownat(fd, '', entry.uid, entry.gid)
  fchmod(fd, entry.mode)
  for (const [name, value] of allowedXattrs(entry)) setXattr(fd, entry, name, value)
}

/** ext4 has room for one block of attributes in all: ENOSPC for a large one doesn't mean that the disk is full. */
const surelyFits = 1024

function setXattr(fd: number, entry: TarEntry, name: string, value: Buffer): void {
  try {
    fsetxattr(fd, name, value)
  } catch (error) {
    const total = [...entry.xattrs].reduce((sum, [key, { length }]) => sum + key.length + length, 0)
    if (total <= surelyFits || !hasCode(error, 'ENOSPC')) throw error
    throw corrupt(`the file system has no room for ${total} bytes of attributes on one file`, entry.name)
  }
}

/** For what can't be opened without side effects: links, devices, FIFOs. */
export function applyToNode(parent: number, name: Buffer, entry: TarEntry): void {
  fchownat(parent, name, entry.uid, entry.gid)
  if (entry.type !== 'symlink') fchmodat(parent, name, entry.mode)
  if (allowedXattrs(entry).length > 0)
    throw corrupt(`a ${entry.type} can't have extended attributes`, entry.name)
  applyTime(parent, name, entry.mtime)
}

export function applyTime(directory: number, name: Buffer | '', time: Timestamp): void {
  const mtimeNs = BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds)
  // Beyond 64 bits of nanoseconds (the year 2262) no file system of ours has a date.
  const clamped = mtimeNs === BigInt.asIntN(64, mtimeNs) ? mtimeNs : mtimeNs < 0n ? -(1n << 62n) : 1n << 62n
  utimensat(directory, name, { atimeNs: clamped, mtimeNs: clamped })
}

/**
 * File capabilities and users' own attributes. Labels and access lists of the machine that packed the layer mean
 * nothing here and are left out; attributes that overlay itself obeys are an attack.
 */
function allowedXattrs(entry: TarEntry): [string, Buffer][] {
  if (entry.xattrs.size === 0) return []
  for (const name of entry.xattrs.keys()) {
    if (/^(trusted|user)\.overlay\./.test(name))
      throw corrupt(`the attribute ${name} belongs to overlay`, entry.name)
    if (name.includes('\0')) throw corrupt('a NUL in the name of an attribute', entry.name)
  }
  return [...entry.xattrs].filter(
    ([name]) => name.startsWith('user.') || (name === 'security.capability' && entry.type === 'file'),
  )
}
