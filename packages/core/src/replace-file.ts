/** Files that a reader finds whole or not at all: written beside their place, then renamed into it. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** How a file is put in its place. */
export interface ReplaceOptions {
  /**
   * What a power cut may take: `none` (the default) the old content and the new, `content` the new at most, and
   * `name` nothing once the call has returned. Each costs a wait for the disk more than the one before.
   */
  sync?: 'none' | 'content' | 'name'
  /** Where it is written, on the same file system. Needed where several writers may be at work at once. */
  temporary?: string
}

/** Writes the file anew, with mode 0600. Where it throws, the old content stays and nothing else does. */
export function replaceFile(path: string, data: string | Uint8Array, options: ReplaceOptions = {}): void {
  const { sync = 'none', temporary = temporaryName(path) } = options
  try {
    write(temporary, data, sync !== 'none')
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  if (sync === 'name') syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/')
}

/** The directory's entries are on disk when it returns: what was made, renamed or removed in it. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** One name for each file, so that what a killed writer left is written over by the next. */
function temporaryName(path: string): string {
  const name = path.lastIndexOf('/') + 1
  return `${path.slice(0, name)}.${path.slice(name)}.new`
}

function write(path: string, data: string | Uint8Array, sync: boolean): void {
  const fd = openSync(path, 'w', 0o600)
  try {
    writeFileSync(fd, data)
    if (sync) fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
