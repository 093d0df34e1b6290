/** An error in one line, as the log and stderr get it. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const hint = 'hint' in error && typeof error.hint === 'string' ? ` (${error.hint})` : ''
  return error.message + words(error) + hint
}

/** Engines look for the words of errno(3), not for its names. */
function words(error: Error): string {
  const code = 'code' in error ? error.code : undefined
  const text = typeof code === 'string' ? errnoWords[code] : undefined
  return text === undefined || error.message.toLowerCase().includes(text) ? '' : `: ${text}`
}

const errnoWords: Partial<Record<string, string>> = {
  EACCES: 'permission denied',
  EBUSY: 'device or resource busy',
  EEXIST: 'file exists',
  EINVAL: 'invalid argument',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  ENODEV: 'no such device',
  ENOENT: 'no such file or directory',
  ENOMEM: 'cannot allocate memory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ESRCH: 'no such process',
}
