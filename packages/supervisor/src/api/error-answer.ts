import { HoldfastError, SyscallError, type ErrorCode } from '@holdfast/errors'

/** The HTTP status of each code. Where dockerd has an answer for the same case, it is dockerd's. */
export const statusOfCode: Record<ErrorCode, number> = {
  HF_BAD_REQUEST: 400,
  HF_INVALID_CONFIG: 400,
  HF_UNSUPPORTED: 501,
  HF_NOT_IMPLEMENTED: 501,
  HF_FORBIDDEN: 403,
  HF_NO_ROOT: 500,
  HF_CONTAINER_NOT_FOUND: 404,
  HF_CONTAINER_NOT_RUNNING: 409,
  HF_CONTAINER_RUNNING: 409,
  HF_CONTAINER_PAUSED: 409,
  HF_CONTAINER_STATE: 409,
  HF_NAME_IN_USE: 409,
  HF_EXEC_NOT_FOUND: 404,
  HF_COMMAND_NOT_FOUND: 400,
  HF_COMMAND_NOT_EXECUTABLE: 400,
  HF_IMAGE_NOT_FOUND: 404,
  HF_IMAGE_IN_USE: 409,
  HF_INVALID_REFERENCE: 400,
  HF_DIGEST_MISMATCH: 500,
  HF_CORRUPT_LAYER: 500,
  HF_PORT_IN_USE: 500,
  HF_ADDRESS_IN_USE: 409,
  HF_ADDRESS_POOL_EXHAUSTED: 500,
  HF_NETWORK_NOT_FOUND: 404,
  HF_NAMESPACE_NOT_FOUND: 404,
  HF_NETWORK_FAILED: 500,
  HF_VOLUME_NOT_FOUND: 404,
  HF_VOLUME_IN_USE: 409,
  HF_ID_RANGE_EXHAUSTED: 500,
  HF_START_FAILED: 500,
  HF_SHIM_LOST: 500,
  HF_PROTOCOL: 500,
  HF_STORE_LOCKED: 409,
  HF_DISK_FULL: 500,
  HF_TIMEOUT: 500,
  HF_INTERNAL: 500,
}

/** What docker's `run` and `start` look for in a message to end with 127 or 126 instead of 125. */
const dockerPhrases: Partial<Record<ErrorCode, { any: RegExp; phrase: string }>> = {
  HF_COMMAND_NOT_FOUND: {
    any: /executable file not found|no such file or directory/,
    phrase: 'executable file not found in $PATH',
  },
  HF_COMMAND_NOT_EXECUTABLE: { any: /permission denied|is a directory/, phrase: 'permission denied' },
}

export interface ErrorAnswer {
  status: number
  body: { message: string; code: string; hint?: string; details?: Record<string, unknown> }
}

/**
 * The answer to a request that failed: Docker's `{"message"}`, with our code, hint and details beside it. Docker's
 * clients show the message alone, so it ends with the hint.
 */
export function errorAnswer(error: unknown): ErrorAnswer {
  const { code, message, hint, details } = describe(error)
  const status = isOutOfDescriptors(error)
    ? 503
    : code in statusOfCode
      ? statusOfCode[code as ErrorCode]
      : 500
  const body: ErrorAnswer['body'] = { message: hint === undefined ? message : `${message} (${hint})`, code }
  if (hint !== undefined) body.hint = hint
  if (details !== undefined) body.details = details
  return { status, body }
}

/**
 * The supervisor's limit of open files, a shim's or the machine's, wherever that was met: nothing is wrong with the
 * request, which may be repeated.
 */
function isOutOfDescriptors(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const met = error instanceof HoldfastError ? error.details?.['code'] : (error as { code?: unknown }).code
  return met === 'EMFILE' || met === 'ENFILE' || isOutOfDescriptors(error.cause)
}

interface Description {
  code: string
  message: string
  hint: string | undefined
  details: Record<string, unknown> | undefined
}

function describe(error: unknown): Description {
  if (error instanceof HoldfastError) {
    const wanted = dockerPhrases[error.code]
    const message =
      wanted && !wanted.any.test(error.message) ? `${error.message}: ${wanted.phrase}` : error.message
    return { code: error.code, message, hint: error.hint, details: error.details }
  }
  if (error instanceof SyscallError) {
    const details = {
      errno: error.errno,
      syscall: error.syscall,
      ...(error.step ? { step: error.step } : {}),
    }
    return { code: error.code, message: error.message, hint: error.hint, details }
  }
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'HF_INTERNAL', message, hint: undefined, details: undefined }
}
