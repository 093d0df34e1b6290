/** What was asked of an exec and can't be had in this container, in the words that `docker exec` prints for it. */
import { hasCode, HoldfastError, SyscallError } from '@holdfast/errors'

/**
 * A user whom the container doesn't know, or a working directory that can't be entered: as with Docker that is a command
 * which could not be executed (126), and not a bad request: the exec was accepted before anybody looked. Other errors
 * are returned as they are.
 */
export function execRefusal(error: unknown, cwd: string | undefined): unknown {
  if (
    hasCode(error, 'HF_BAD_REQUEST') &&
    error instanceof HoldfastError &&
    error.details?.['field'] === 'user'
  )
    return new HoldfastError('HF_COMMAND_NOT_EXECUTABLE', error.message, {
      cause: error,
      details: error.details,
    })
  if (error instanceof SyscallError && error.field === 'process.cwd') {
    const reason = reasons[error.code] ?? error.code
    return new HoldfastError(
      'HF_COMMAND_NOT_EXECUTABLE',
      `chdir to cwd (${JSON.stringify(cwd ?? error.path)}) set in config.json failed: ${reason}`,
      { cause: error, hint: error.hint, details: { field: 'cwd', errno: error.code } },
    )
  }
  return error
}

const reasons: Partial<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EACCES: 'permission denied',
  ELOOP: 'too many levels of symbolic links',
}
