/** /etc/passwd and /etc/group of a container, as it will see them. */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { readInSnapshot, type Snapshot } from '@holdfast/images'

/** An image's passwd may be anything, as long as it likes: more than this is not read. */
const maxFile = 1 << 20

/** How many images' files are remembered, and how long they may be together for that. */
const maxImages = 64
const maxRemembered = 1 << 16

export interface AccountFiles {
  passwd: string | null
  group: string | null
}

/** By the layers that they come from, which never change. */
const remembered = new Map<string, AccountFiles>()

export function readAccountFiles(snapshot: Snapshot): AccountFiles {
  // Whatever the container itself has at /etc hides or changes what the image has there.
  if (lstatSync(join(snapshot.upper, 'etc'), { throwIfNoEntry: false })) return read(snapshot)
  const key = snapshot.lower.join(':')
  const known = remembered.get(key)
  if (known) return known
  const files = read(snapshot)
  if ((files.passwd?.length ?? 0) + (files.group?.length ?? 0) > maxRemembered) return files
  const [oldest] = remembered.keys()
  if (remembered.size >= maxImages && oldest !== undefined) remembered.delete(oldest)
  remembered.set(key, files)
  return files
}

function read(snapshot: Snapshot): AccountFiles {
  return { passwd: readLines(snapshot, '/etc/passwd'), group: readLines(snapshot, '/etc/group') }
}

/** Up to the last whole line: one that is cut off could name another id than the file does. */
function readLines(snapshot: Snapshot, path: string): string | null {
  const bytes = readInSnapshot(snapshot, path, maxFile)
  if (bytes === undefined) return null
  return bytes.subarray(0, bytes.length < maxFile ? undefined : bytes.lastIndexOf('\n') + 1).toString()
}
