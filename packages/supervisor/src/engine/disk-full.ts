import { hasCode, HoldfastError } from '@holdfast/errors'

/** SQLITE_FULL, sqlite.org/rescode.html. */
const sqliteFull = 13

/** A full disk has one code, whoever met it: a system call or the database. Any other error is left as it is. */
export function nameDiskFull(error: unknown): unknown {
  const isFull =
    hasCode(error, 'ENOSPC', 'EDQUOT') || (error as { errcode?: number } | null)?.errcode === sqliteFull
  if (!isFull) return error
  const { message, path } = error as Error & { path?: string }
  return new HoldfastError('HF_DISK_FULL', `no space left on device: ${message}`, {
    hint: 'Remove containers, volumes or images that are no longer needed.',
    cause: error,
    details: { path },
  })
}
