/** Errors as the CNI specification shapes and numbers them. */
import { HoldfastError, SyscallError, type ErrorCode } from '@holdfast/errors'

/** 1 to 99 are the specification's, 100 and above ours. */
export const cniCodes = {
  version: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  environment: 4,
  io: 5,
  decoding: 6,
  invalidConfig: 7,
  tryAgain: 11,
  unavailable: 50,
  limited: 51,
  networkFailed: 100,
  portInUse: 101,
  addressInUse: 102,
  poolExhausted: 103,
  noRoot: 104,
  systemCall: 105,
  /** CHECK: something is not as ADD left it. */
  changed: 106,
  /** An IPAM plugin failed without saying how. */
  delegate: 107,
  internal: 199,
} as const

/** One that is known to be of this kind, with the specification's number. */
export class CniError extends Error {
  readonly cniCode: number
  readonly details: string

  constructor(cniCode: number, message: string, details = '') {
    super(message)
    this.cniCode = cniCode
    this.details = details
  }
}

const codes: Partial<Record<ErrorCode, number>> = {
  HF_BAD_REQUEST: cniCodes.environment,
  HF_INVALID_CONFIG: cniCodes.invalidConfig,
  HF_UNSUPPORTED: cniCodes.unsupportedField,
  HF_NAMESPACE_NOT_FOUND: cniCodes.unknownContainer,
  HF_NETWORK_FAILED: cniCodes.networkFailed,
  HF_PORT_IN_USE: cniCodes.portInUse,
  HF_ADDRESS_IN_USE: cniCodes.addressInUse,
  HF_ADDRESS_POOL_EXHAUSTED: cniCodes.poolExhausted,
  HF_NO_ROOT: cniCodes.noRoot,
  HF_TIMEOUT: cniCodes.tryAgain,
}

export interface ErrorJson {
  cniVersion: string
  code: number
  msg: string
  details: string
}

export function errorJson(error: unknown, cniVersion: string): ErrorJson {
  return { cniVersion, ...describe(error) }
}

function describe(error: unknown): Omit<ErrorJson, 'cniVersion'> {
  if (error instanceof CniError) return { code: error.cniCode, msg: error.message, details: error.details }
  if (error instanceof HoldfastError) {
    const hint = error.hint ?? ''
    return {
      code: codes[error.code] ?? cniCodes.internal,
      msg: error.message,
      details: sentence(error.code, hint),
    }
  }
  if (error instanceof SyscallError) {
    return { code: cniCodes.systemCall, msg: error.message, details: error.hint ?? '' }
  }
  if (error instanceof AggregateError) {
    const first = describe(error.errors[0])
    return {
      ...first,
      msg: error.message,
      details: error.errors.map((each) => describe(each).msg).join('; '),
    }
  }
  if (isFileError(error))
    return { code: cniCodes.io, msg: error.message, details: fileHints[error.code] ?? '' }
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  return { code: cniCodes.internal, msg: message, details: stack ?? '' }
}

const fileHints: Record<string, string> = {
  ENOSPC: 'The file system of stateDir (/run/holdfast/cni) is full.',
  EDQUOT: 'A quota of the file system of stateDir (/run/holdfast/cni) is used up.',
  EROFS: 'Set stateDir to a directory that can be written to; it is /run/holdfast/cni where nothing is set.',
  ENOTDIR: 'Set stateDir to a directory; it is /run/holdfast/cni where nothing is set.',
}

/** Of Node's: our own system calls throw SyscallErrors. */
function isFileError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string'
}

function sentence(code: string, hint: string): string {
  return hint === '' ? code : `${code}: ${hint}`
}
