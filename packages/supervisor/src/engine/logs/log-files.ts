/** The files of a container's log: `<path>`, and older ones as `<path>.1`, `<path>.2`, …, as rotation leaves them. */
import { open, type FileHandle } from 'node:fs/promises'
import { hasCode } from '@holdfast/errors'

/** As many as `max-file` may keep. */
const maxFiles = 1000

const newline = 0x0a

/** All files there are, oldest first, opened at one moment. The caller closes them. */
export async function openLogFiles(path: string): Promise<FileHandle[]> {
  for (;;) {
    const files: FileHandle[] = []
    let whole = false
    try {
      const newest = await openIfThere(path)
      if (newest) files.unshift(newest)
      for (let index = 1; index <= maxFiles; index++) {
        const file = await openIfThere(`${path}.${index}`)
        if (!file) break
        files.unshift(file)
      }
      // Where it was rotated in between, one file would be read twice or not at all.
      whole = newest === undefined || (await isCurrent(newest, path))
      if (whole) return files
    } finally {
      // One that is left to the garbage collector ends the process.
      if (!whole) for (const file of files) await file.close()
    }
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** Whether `file` is still the one that the log is written to. */
export async function isCurrent(file: FileHandle, path: string): Promise<boolean> {
  const current = await openIfThere(path)
  if (!current) return false
  try {
    const [a, b] = await Promise.all([file.stat({ bigint: true }), current.stat({ bigint: true })])
    return a.ino === b.ino && a.dev === b.dev
  } finally {
    await current.close()
  }
}

/** The files that came after `file` when the log was rotated, oldest first. */
export async function newerThan(file: FileHandle, path: string): Promise<FileHandle[]> {
  const { ino } = await file.stat({ bigint: true })
  const files = await openLogFiles(path)
  const inodes = await Promise.all(files.map(async (each) => (await each.stat({ bigint: true })).ino))
  const at = inodes.indexOf(ino)
  for (const older of files.slice(0, at + 1)) await older.close()
  return files.slice(at + 1)
}

/** Where the last `lines` lines begin: which file, and the offset in it. */
export async function findTail(
  files: FileHandle[],
  lines: number,
): Promise<{ index: number; offset: number }> {
  if (lines <= 0)
    return { index: Math.max(files.length - 1, 0), offset: (await files.at(-1)?.stat())?.size ?? 0 }
  const buffer = Buffer.allocUnsafe(1 << 16)
  let missing = lines
  for (let index = files.length - 1; index >= 0; index--) {
    const file = files[index]!
    let end = (await file.stat()).size
    let atEnd = true
    while (end > 0) {
      const start = Math.max(0, end - buffer.length)
      const { bytesRead } = await file.read(buffer, 0, end - start, start)
      // The newline at the very end closes the last line; the one before it is where that line begins.
      for (let at = bytesRead - (atEnd ? 2 : 1); at >= 0; at--) {
        if (buffer[at] === newline && --missing === 0) return { index, offset: start + at + 1 }
      }
      atEnd = false
      end = start
    }
    if (!atEnd && --missing === 0) return { index, offset: 0 }
  }
  return { index: 0, offset: 0 }
}
