/** Resource limits: prlimit(2). */
import { checkInteger, checkPid, checkUnsigned64, bad } from './argument.ts'
import { addon, check } from './native.ts'

const native = addon as {
  prlimit(
    pid: number,
    resource: number,
    set: boolean,
    soft: bigint,
    hard: bigint,
    out: BigUint64Array,
  ): number
}

/** RLIMIT_… in the kernel's numbering, which x86_64 and aarch64 share. */
export const resourceNames = [
  'RLIMIT_CPU',
  'RLIMIT_FSIZE',
  'RLIMIT_DATA',
  'RLIMIT_STACK',
  'RLIMIT_CORE',
  'RLIMIT_RSS',
  'RLIMIT_NPROC',
  'RLIMIT_NOFILE',
  'RLIMIT_MEMLOCK',
  'RLIMIT_AS',
  'RLIMIT_LOCKS',
  'RLIMIT_SIGPENDING',
  'RLIMIT_MSGQUEUE',
  'RLIMIT_NICE',
  'RLIMIT_RTPRIO',
  'RLIMIT_RTTIME',
] as const

/** getrlimit(2): the names after RLIMIT_. */
export type ResourceName = (typeof resourceNames)[number]

/** No limit. */
export const RLIM_INFINITY = (1n << 64n) - 1n

/** `struct rlimit`; RLIM_INFINITY where there is no limit. */
export interface ResourceLimits {
  soft: bigint
  hard: bigint
}

/** The limits as they were; sets new ones where given. `pid` 0 is the calling process. */
export function prlimit(pid: number, resource: ResourceName, limits?: ResourceLimits): ResourceLimits {
  const number = resourceNames.indexOf(resource)
  if (number < 0) throw bad('resource', `is unknown: ${String(resource)}`)
  const soft = checkUnsigned64(limits?.soft ?? 0n, 'soft')
  const hard = checkUnsigned64(limits?.hard ?? 0n, 'hard')
  if (soft > hard) throw bad('soft', `must not exceed the hard limit ${hard}, and is ${soft}`)
  const out = new BigUint64Array(2)
  const target = pid === 0 ? 0 : checkPid(pid)
  const result = native.prlimit(
    target,
    checkInteger(number, 'resource', 0, 15),
    limits !== undefined,
    soft,
    hard,
    out,
  )
  check(result, 'prlimit64', {
    path: resource,
    hints: { EPERM: 'Raising a hard limit takes CAP_SYS_RESOURCE.' },
  })
  return { soft: out[0]!, hard: out[1]! }
}
