/**
 * Docker's format of seccomp profiles (`--security-opt seccomp=FILE`): OCI's, with conditions on capabilities,
 * machines and kernels. They are decided here; what is left is an OCI profile, for the reader in `plan` to check.
 */
import { badRequest } from '../refuse.ts'

interface Conditions {
  caps?: string[]
  arches?: string[]
  minKernel?: string
}

interface DockerRule {
  name?: string
  names?: string[]
  action?: string
  args?: unknown[] | null
  errnoRet?: number | null
  includes?: Conditions | null
  excludes?: Conditions | null
}

interface DockerProfile {
  defaultAction?: string
  defaultErrnoRet?: number
  architectures?: string[] | null
  archMap?: { architecture: string; subArchitectures?: string[] | null }[] | null
  flags?: string[]
  listenerPath?: string
  listenerMetadata?: string
  syscalls?: DockerRule[] | null
}

/** Go's names of machines, which the conditions use. */
const goNames = { x86_64: 'amd64', aarch64: 'arm64' } as const
const ociNames = { x86_64: 'SCMP_ARCH_X86_64', aarch64: 'SCMP_ARCH_AARCH64' } as const

/** The profile for this container on this machine: unchecked, in OCI's shape. Throws HF_BAD_REQUEST where it has none. */
export function resolveProfile(
  json: unknown,
  capabilities: ReadonlySet<string>,
  architecture: 'x86_64' | 'aarch64',
  kernel: [number, number],
): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw bad('it is no JSON object')
  const { archMap, architectures, syscalls, ...rest } = json as DockerProfile
  if (archMap?.length && architectures?.length)
    throw bad("both 'architectures' and 'archMap' are specified; use either")
  if (syscalls !== undefined && syscalls !== null && !Array.isArray(syscalls))
    throw bad("'syscalls' is no list")
  const native = ociNames[architecture]
  const entry = archMap?.find((each) => each.architecture === native)
  const holds = (rule: DockerRule): boolean =>
    included(rule.includes, capabilities, architecture, kernel) &&
    !excluded(rule.excludes, capabilities, architecture)
  return {
    ...rest,
    architectures:
      architectures ?? (entry ? [entry.architecture, ...(entry.subArchitectures ?? [])] : [native]),
    syscalls: (syscalls ?? []).filter(holds).map(ociRule),
  }
}

/** Absent and null are the same here, as in Go. */
function ociRule({ name, names, action, args, errnoRet }: DockerRule): Record<string, unknown> {
  if (name && names?.length) throw bad("both 'name' and 'names' are specified; use either")
  return {
    names: name ? [name] : (names ?? []),
    action,
    ...(args && { args }),
    ...(typeof errnoRet === 'number' && { errnoRet }),
  }
}

/** Every condition must hold; all capabilities of the list, any of the machines. */
function included(
  conditions: Conditions | null | undefined,
  capabilities: ReadonlySet<string>,
  architecture: keyof typeof goNames,
  [major, minor]: [number, number],
): boolean {
  const { caps, arches, minKernel } = conditions ?? {}
  if (minKernel) {
    const [, atLeastMajor, atLeastMinor] = /^(\d+)\.(\d+)$/.exec(minKernel) ?? []
    if (atLeastMajor === undefined) throw bad(`invalid kernel version: ${minKernel}`)
    const old =
      major < Number(atLeastMajor) || (major === Number(atLeastMajor) && minor < Number(atLeastMinor))
    if (old) return false
  }
  if (arches?.length && !arches.includes(goNames[architecture])) return false
  return (caps ?? []).every((name) => capabilities.has(name))
}

/** Any condition is enough. */
function excluded(
  conditions: Conditions | null | undefined,
  capabilities: ReadonlySet<string>,
  architecture: keyof typeof goNames,
): boolean {
  const { caps, arches } = conditions ?? {}
  return (arches ?? []).includes(goNames[architecture]) || (caps ?? []).some((name) => capabilities.has(name))
}

function bad(problem: string): Error {
  return badRequest('HostConfig.SecurityOpt', `Decoding seccomp profile failed: ${problem}`)
}
