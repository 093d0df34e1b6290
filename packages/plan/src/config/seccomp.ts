/** OCI runtime-spec `linux.seccomp`: config-linux.md#seccomp. */
import {
  absolutePath,
  invalid,
  list,
  integer,
  nonEmpty,
  oneOf,
  optional,
  string,
  struct,
  uint64,
  uint32,
  type Reader,
} from './reader.ts'
import type { SeccompProfile } from '../step.ts'

export const seccompActions = [
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
  'SCMP_ACT_NOTIFY',
] as const

export const seccompOperators = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
] as const

export const seccompFlags = [
  'SECCOMP_FILTER_FLAG_TSYNC',
  'SECCOMP_FILTER_FLAG_LOG',
  'SECCOMP_FILTER_FLAG_SPEC_ALLOW',
  'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV',
] as const

/** The architectures that libseccomp 2.5 knows. */
export const seccompArchitectures = [
  'SCMP_ARCH_X86',
  'SCMP_ARCH_X86_64',
  'SCMP_ARCH_X32',
  'SCMP_ARCH_ARM',
  'SCMP_ARCH_AARCH64',
  'SCMP_ARCH_MIPS',
  'SCMP_ARCH_MIPS64',
  'SCMP_ARCH_MIPS64N32',
  'SCMP_ARCH_MIPSEL',
  'SCMP_ARCH_MIPSEL64',
  'SCMP_ARCH_MIPSEL64N32',
  'SCMP_ARCH_PPC',
  'SCMP_ARCH_PPC64',
  'SCMP_ARCH_PPC64LE',
  'SCMP_ARCH_S390',
  'SCMP_ARCH_S390X',
  'SCMP_ARCH_PARISC',
  'SCMP_ARCH_PARISC64',
  'SCMP_ARCH_RISCV64',
] as const

const action = oneOf(...seccompActions)

const profile = struct({
  defaultAction: action,
  defaultErrnoRet: optional(uint32),
  architectures: optional(list(oneOf(...seccompArchitectures))),
  flags: optional(list(oneOf(...seccompFlags))),
  listenerPath: optional(absolutePath),
  listenerMetadata: optional(string),
  syscalls: optional(
    list(
      struct({
        names: list(nonEmpty),
        action,
        errnoRet: optional(uint32),
        args: optional(
          list(
            struct({
              index: integer(0, 5),
              value: uint64,
              valueTwo: optional(uint64),
              op: oneOf(...seccompOperators),
            }),
          ),
        ),
      }),
    ),
  ),
})

export const seccomp: Reader<SeccompProfile> = (value, path) => {
  const result = profile(value, path)
  checkErrno(result.defaultAction, result.defaultErrnoRet, `${path}.defaultErrnoRet`)
  result.syscalls?.forEach((rule, index) => {
    const at = `${path}.syscalls[${index}]`
    if (rule.names.length === 0) throw invalid(`${at}.names`, 'must name a system call')
    checkErrno(rule.action, rule.errnoRet, `${at}.errnoRet`)
    // A listener lives outside: the write that hands over its descriptor, or the exec, would wait for itself.
    if (rule.action === 'SCMP_ACT_NOTIFY' && rule.names.includes('write'))
      throw invalid(
        `${at}.action`,
        'SCMP_ACT_NOTIFY cannot be used for the write syscall: the container could never be made', // runc's words
      )
  })
  if (result.defaultAction === 'SCMP_ACT_NOTIFY')
    throw invalid(`${path}.defaultAction`, 'must not be SCMP_ACT_NOTIFY: the container could never be made')
  const notifies = result.syscalls?.some((rule) => rule.action === 'SCMP_ACT_NOTIFY') ?? false
  if (notifies && !result.listenerPath)
    throw invalid(`${path}.listenerPath`, 'is missing: SCMP_ACT_NOTIFY needs a listener')
  if (result.listenerMetadata && !result.listenerPath)
    throw invalid(`${path}.listenerMetadata`, 'needs a listenerPath')
  return result
}

/** Only these two carry a number: an errno, or ptrace's message. */
function checkErrno(action: string, errno: number | undefined, path: string): void {
  if (errno === undefined) return
  if (action !== 'SCMP_ACT_ERRNO' && action !== 'SCMP_ACT_TRACE')
    throw invalid(path, `cannot go with ${action}`)
  if (errno > (action === 'SCMP_ACT_ERRNO' ? 4095 : 0xffff)) throw invalid(path, `is too large: ${errno}`)
}
