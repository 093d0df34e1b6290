import { hasCode, HoldfastError } from './holdfast-error.ts'

/** SQLITE_FULL, sqlite.org/rescode.html. */
const sqliteFull = 13

/** Whether there was no room: a full disk or quota, met by a system call (ENOSPC, EDQUOT) or by SQLite. */
export function isDiskFull(error: unknown): boolean {
  return (
    hasCode(error, 'ENOSPC', 'EDQUOT', 'HF_DISK_FULL') ||
    (error as { errcode?: number } | null)?.errcode === sqliteFull
  )
}

/**
 * A full disk has one code, whoever met it: HF_DISK_FULL, with the error as its cause. Any other error comes back as
 * it is. `root`: a path on the file system that is full, where the error does not say it.
 */
export function nameDiskFull(error: unknown, root?: string): unknown {
  if (!isDiskFull(error) || hasCode(error, 'HF_DISK_FULL')) return error
  const { message, path } = error as Error & { path?: string }
  const what =
    root === undefined ? `no space left on device: ${message}` : `no space left on the file system of ${root}`
  return new HoldfastError('HF_DISK_FULL', what, {
    hint: 'Remove containers, volumes or images that are no longer needed, or make the file system larger, and try again.',
    details: { path: root ?? path },
    cause: error,
  })
}
