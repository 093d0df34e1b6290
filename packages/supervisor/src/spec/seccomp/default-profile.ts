/**
 * Holdfast's default system-call filter. What isn't named is refused with EPERM. It allows nothing that Docker's
 * default refuses (tools/compare-seccomp.ts compares the two), and is tighter: the machine's own ABI alone, so no way
 * around a rule by a 32-bit call; socket families by name.
 */
import { allowedCalls, machineCalls } from './allowed-calls.ts'
import { cloneRule, personalityRules, socketRules } from './argument-rules.ts'
import { capabilityCalls } from './capability-calls.ts'
import type { SeccompProfile, SeccompRule } from '@holdfast/plan'

const EPERM = 1
const ENOSYS = 38

/**
 * Refused as if the kernel didn't have them. Programs try these first and know what to do on an old kernel, where
 * EPERM would end them: clone3, whose flags lie in memory and out of a filter's sight; io_uring; and what came to
 * Linux after this list was written.
 */
const unknownCalls = [
  'io_uring_setup',
  'io_uring_enter',
  'io_uring_register',
  'open_tree_attr',
  'file_getattr',
  'file_setattr',
  'listns',
]

const compiled = new Map<string, SeccompProfile>()

/** For a container that holds these capabilities. The same object for the same arguments, frozen. */
export function defaultSeccomp(
  capabilities: ReadonlySet<string>,
  architecture: 'x86_64' | 'aarch64',
): SeccompProfile {
  const relevant = Object.keys(capabilityCalls).filter((name) => capabilities.has(name))
  const key = `${architecture} ${relevant.join(' ')}`
  let profile = compiled.get(key)
  if (!profile) {
    profile = compile(relevant, architecture)
    compiled.set(key, profile)
  }
  return profile
}

function compile(capabilities: string[], architecture: 'x86_64' | 'aarch64'): SeccompProfile {
  const groups = [
    ...allowedCalls,
    machineCalls[architecture],
    ...capabilities.map((name) => capabilityCalls[name]!),
  ]
  const names = new Set(groups.flatMap(({ calls }) => calls))
  // With all namespaces at hand, clone needs no rule about its flags.
  const makesNamespaces = names.has('clone3')
  const unknown = [...unknownCalls, ...(makesNamespaces ? [] : ['clone3'])]
  const syscalls: SeccompRule[] = [
    { names: [...names], action: 'SCMP_ACT_ALLOW' },
    ...(makesNamespaces ? [] : [cloneRule]),
    ...socketRules,
    ...personalityRules,
    { names: unknown, action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
  ]
  return deepFreeze({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: EPERM,
    architectures: [architecture === 'x86_64' ? 'SCMP_ARCH_X86_64' : 'SCMP_ARCH_AARCH64'],
    syscalls,
  })
}

/** Many containers share one object: none may change it. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze)
  return Object.freeze(value)
}
