/**
 * System-call filters: OCI's `linux.seccomp` compiled to a BPF program by libseccomp. Loading it is the launcher's.
 */
import { HoldfastError } from '@holdfast/errors'
import { checkInteger, checkPath, checkUnsigned64, bad } from './argument.ts'
import { addon, check } from './native.ts'
import { findCompiled, keepCompiled } from './seccomp-cache.ts'

const native = addon as {
  seccompCompile(request: CompileRequest): { program: Buffer; skipped: string[]; highest: number } | number
  syscallNumber(name: string): number
}

/** As `native/seccomp.cc` reads it: rules flat, every name already looked up here but the system calls'. */
interface CompileRequest {
  defaultAction: number
  architectures: string[]
  rules: {
    action: number
    names: string[]
    args: { index: number; op: number; value: bigint; valueTwo: bigint }[]
  }[]
}

/** OCI runtime-spec `linux.seccomp`. */
export interface SeccompProfile {
  defaultAction: string
  defaultErrnoRet?: number
  architectures?: string[]
  flags?: string[]
  listenerPath?: string
  listenerMetadata?: string
  syscalls?: SeccompRule[]
}

/** OCI runtime-spec `linux.seccomp.syscalls[]`. */
export interface SeccompRule {
  names: string[]
  action: string
  errnoRet?: number
  args?: { index: number; value: number | bigint; valueTwo?: number | bigint; op: string }[]
}

/** A filter as the kernel takes it. */
export interface CompiledSeccomp {
  /** An array of `struct sock_filter`, 8 bytes each, for seccomp(2). */
  program: Buffer
  /** SECCOMP_FILTER_FLAG_… for seccomp(2). */
  flags: number
  /** Names that this machine's architecture, or libseccomp, does not have; the filter is without them. */
  skipped: string[]
  /** The profile notifies a listener: seccomp(2) returns a descriptor for it. */
  listener: boolean
}

/** SECCOMP_RET_… of each OCI action. */
export const seccompActions: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0x0000_0000,
  SCMP_ACT_KILL_THREAD: 0x0000_0000,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_NOTIFY: 0x7fc0_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
}

const operators: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
}

const loadFlags: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0x01,
  SECCOMP_FILTER_FLAG_LOG: 0x02,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 0x04,
  SECCOMP_FILTER_FLAG_NEW_LISTENER: 0x08,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 0x20,
}

const EPERM = 1

/**
 * Compiles a profile. For an equal one it returns the same object as the last time, from this process's memory or
 * from the directory given to `keepCompiledSeccomp`: compiling takes milliseconds. The program must not be changed.
 */
export function compileSeccomp(profile: SeccompProfile): CompiledSeccomp {
  const key = keyOf(profile)
  const known = findCompiled(key)
  if (known) return known
  const compiled = compile(profile)
  keepCompiled(key, compiled)
  return compiled
}

/** The profile as text. Only a bigint needs the slow way, which calls back for each of thousands of values. */
function keyOf(profile: SeccompProfile): string {
  try {
    return JSON.stringify(profile)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return JSON.stringify(profile, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))
  }
}

function compile(profile: SeccompProfile): CompiledSeccomp {
  const defaultAction = actionOf(profile.defaultAction, profile.defaultErrnoRet, 'defaultAction')
  const rules = (profile.syscalls ?? []).flatMap((rule, index) => compileRule(rule, `syscalls[${index}]`))
  // A rule that says what the default says anyway is no rule; libseccomp refuses it.
  const needed = rules.filter(({ action }) => action !== defaultAction)
  const architectures = (profile.architectures ?? []).map(architecture)
  const result = native.seccompCompile({ defaultAction, architectures, rules: needed })
  if (typeof result === 'number') {
    check(result, 'seccomp_rule_add', { hints: compileHints })
    throw new HoldfastError('HF_INTERNAL', 'the seccomp profile did not compile')
  }
  const listener = [profile, ...(profile.syscalls ?? [])].some(
    (part) => ('action' in part ? part.action : part.defaultAction) === 'SCMP_ACT_NOTIFY',
  )
  const flags = (profile.flags ?? []).reduce((sum, name) => sum | loadFlag(name), 0)
  return {
    program: withAnswerForNewerCalls(profile, result),
    // The kernel refuses both of what would have no effect: who loads the filter has one thread, and without a
    // listener nobody waits for one.
    flags:
      flags &
      ~(listener
        ? loadFlag('SECCOMP_FILTER_FLAG_TSYNC')
        : loadFlag('SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV')),
    skipped: result.skipped,
    listener,
  }
}

/**
 * A C library tries a new system call first and falls back where the kernel answers ENOSYS; EPERM it takes for the
 * last word. So where the default is an errno, calls that are newer than everything in the profile get ENOSYS, as if
 * this kernel did not have them. A short profile says nothing of what its author knew: nothing older than that of
 * Linux 5.8 counts as newer.
 */
function withAnswerForNewerCalls(
  profile: SeccompProfile,
  { program, highest }: { program: Buffer; highest: number },
) {
  if (profile.defaultAction !== 'SCMP_ACT_ERRNO' || profile.defaultErrnoRet === ENOSYS) return program
  const faccessat2 = 439
  return Buffer.concat([
    filter(0x20, 0, 0, 4), // A = the architecture of struct seccomp_data
    filter(0x15, 0, 4, process.arch === 'arm64' ? 0xc000_00b7 : 0xc000_003e), // another one: on to the program
    filter(0x20, 0, 0, 0), // A = the call's number
    filter(0x35, 2, 0, 0x4000_0000), // x32's numbers, and -1: on to the program
    filter(0x25, 0, 1, Math.max(highest, faccessat2)),
    filter(0x06, 0, 0, seccompActions.SCMP_ACT_ERRNO! + ENOSYS),
    program,
  ])
}

const ENOSYS = 38

/** One struct sock_filter. */
function filter(code: number, yes: number, no: number, k: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt8(yes, 2)
  bytes.writeUInt8(no, 3)
  bytes.writeUInt32LE(k, 4)
  return bytes
}

const compileHints = { EINVAL: 'The profile names an architecture that libseccomp does not know.' }

/**
 * All conditions of a rule must hold. libseccomp takes one condition per argument; where several test the same one,
 * each condition is a rule of its own, so that one of them suffices: what runc and crun make of it.
 */
function compileRule(rule: SeccompRule, field: string): CompileRequest['rules'] {
  const action = actionOf(rule.action, rule.errnoRet, `${field}.action`)
  const names = rule.names.map((name) => checkPath(name, `${field}.names`))
  const args = (rule.args ?? []).map((arg, index) => argument(arg, `${field}.args[${index}]`))
  const onceEach = new Set(args.map(({ index }) => index)).size === args.length
  return onceEach ? [{ action, names, args }] : args.map((arg) => ({ action, names, args: [arg] }))
}

function actionOf(name: string, errnoRet: number | undefined, field: string): number {
  const action = seccompActions[name]
  if (action === undefined || !Object.hasOwn(seccompActions, name))
    throw bad(field, `is unknown: ${String(name)}`)
  if (name !== 'SCMP_ACT_ERRNO' && name !== 'SCMP_ACT_TRACE') return action
  const max = name === 'SCMP_ACT_ERRNO' ? 4095 : 0xffff // MAX_ERRNO; the message of PTRACE_GETEVENTMSG
  return action + checkInteger(errnoRet ?? EPERM, `${field} errnoRet`, 0, max)
}

function argument(arg: NonNullable<SeccompRule['args']>[number], field: string) {
  const op = operators[arg.op]
  if (op === undefined) throw bad(`${field}.op`, `is unknown: ${String(arg.op)}`)
  return {
    index: checkInteger(arg.index, `${field}.index`, 0, 5),
    op,
    value: checkUnsigned64(arg.value, `${field}.value`),
    valueTwo: checkUnsigned64(arg.valueTwo ?? 0, `${field}.valueTwo`),
  }
}

/** `SCMP_ARCH_X86_64` in libseccomp's own words, `x86_64`. */
function architecture(name: string): string {
  if (!/^SCMP_ARCH_[A-Z0-9_]+$/.test(name)) throw bad('architectures', `has an unknown one: ${String(name)}`)
  return name.slice('SCMP_ARCH_'.length).toLowerCase()
}

function loadFlag(name: string): number {
  const flag = loadFlags[name]
  if (flag === undefined) throw bad('flags', `has an unknown one: ${String(name)}`)
  return flag
}

/** The number of a system call on this machine's architecture; undefined where it has none of this name. */
export function syscallNumber(name: string): number | undefined {
  const number = native.syscallNumber(checkPath(name, 'name'))
  return number < 0 ? undefined : number
}
