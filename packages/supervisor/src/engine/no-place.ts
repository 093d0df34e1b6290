import { HoldfastError } from '@holdfast/errors'

/**
 * A mount or a working directory for which the image has no place, a file on the way or a link that is not followed: as with
 * dockerd the request is at fault, and not the engine. Other errors are returned as they are.
 */
export function nameNoPlace(error: unknown): unknown {
  if (!isNoPlace(error)) return error
  const { message, hint, details } = error
  return new HoldfastError('HF_INVALID_CONFIG', message, { cause: error, hint, details })
}

export function isNoPlace(error: unknown): error is HoldfastError {
  if (!(error instanceof HoldfastError)) return false
  const { code, field, step } = error.details ?? {}
  if (!/^mounts\[|^process\.cwd$/.test(String(field))) return false
  // move_mount(2) says EINVAL where one of the two is a directory and the other is not.
  return (
    ['ENOTDIR', 'EISDIR', 'ELOOP'].includes(String(code)) ||
    (code === 'EINVAL' && String(step).startsWith('attach('))
  )
}
