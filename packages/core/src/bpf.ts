/**
 * The device filter of cgroup v2: bpf(2) with a program of type BPF_PROG_TYPE_CGROUP_DEVICE, built here from OCI's
 * device rules. Linux 4.15; CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN.
 */
import { checkFd, checkInteger, bad } from './argument.ts'
import { closeFd } from './descriptor.ts'
import { addon, check } from './native.ts'

const native = addon as {
  loadDeviceProgram(instructions: Buffer): number
  attachDeviceProgram(cgroupFd: number, programFd: number): number
}

/** One rule of OCI's `linux.resources.devices`. */
export interface DeviceFilterRule {
  allow: boolean
  /** All, block, character. */
  type: 'a' | 'b' | 'c'
  major: number | '*'
  minor: number | '*'
  /** Some of `rwm`: read, write, mknod. */
  access: string
}

/** Makes the rules hold for the cgroup and everything beneath it, besides filters attached higher up. */
export function attachDeviceFilter(cgroupFd: number, rules: readonly DeviceFilterRule[]): void {
  const program = check(native.loadDeviceProgram(deviceProgram(rules)), 'bpf(BPF_PROG_LOAD)', {
    hints: bpfHints,
  })
  try {
    check(native.attachDeviceProgram(checkFd(cgroupFd, 'cgroupFd'), program), 'bpf(BPF_PROG_ATTACH)', {
      hints: bpfHints,
    })
  } finally {
    closeFd(program) // the cgroup holds it now
  }
}

const bpfHints = {
  EPERM: 'CAP_SYS_ADMIN is missing, or a cgroup higher up forbids further filters.',
  EBADF: 'The directory is not one of cgroup v2.',
}

const MKNOD = 1
const READ = 2
const WRITE = 4
const BLOCK = 1
const CHARACTER = 2

/**
 * The program, 8 bytes an instruction. It walks the rules from the last to the first, as a later rule overrides an
 * earlier one, with the accesses that nobody has decided yet in r5: a refusal of any of them ends it, a permission
 * takes away those that it covers, and when none is left the answer is yes. What no rule mentions is refused.
 */
export function deviceProgram(rules: readonly DeviceFilterRule[]): Buffer {
  const code: Buffer[] = [
    load(2, 0), // struct bpf_cgroup_dev_ctx: u32 access_type (access << 16 | type), u32 major, u32 minor
    moveRegister(5, 2),
    shiftRight(5, 16),
    andImmediate(2, 0xffff),
    load(3, 4),
    load(4, 8),
  ]
  for (const rule of rules.toReversed()) code.push(...ruleCode(rule))
  code.push(moveImmediate(0, 0), exit())
  return Buffer.concat(code)
}

function ruleCode(rule: DeviceFilterRule): Buffer[] {
  const access = accessBits(rule.access)
  // A rule for all devices concerns every major and minor, whatever it says of them, as in cgroup v1.
  const all = rule.type === 'a'
  const body = rule.allow
    ? [andImmediate(5, ~access & 7), jumpUnlessEqual(5, 0, 2), moveImmediate(0, 1), exit()]
    : [moveRegister(1, 5), andImmediate(1, access), jumpIfEqual(1, 0, 2), moveImmediate(0, 0), exit()]
  const tests: [register: number, value: number][] = []
  if (!all) tests.push([2, deviceType(rule.type)])
  if (!all && rule.major !== '*') tests.push([3, checkInteger(rule.major, 'major', 0, 0xffff_ffff)])
  if (!all && rule.minor !== '*') tests.push([4, checkInteger(rule.minor, 'minor', 0, 0xffff_ffff)])
  // Each test skips the rest of the tests and the body.
  const skips = tests.map(([register, value], index) =>
    jumpUnlessEqual(register, value, tests.length - index - 1 + body.length),
  )
  return [...skips, ...body]
}

function deviceType(type: DeviceFilterRule['type']): number {
  if (type === 'b') return BLOCK
  if (type === 'c') return CHARACTER
  throw bad('type', `must be a, b or c, not ${String(type)}`)
}

function accessBits(access: string): number {
  if (!/^[rwm]{1,3}$/.test(access))
    throw bad('access', `must be some of "rwm", not ${JSON.stringify(access)}`)
  return (
    (access.includes('m') ? MKNOD : 0) |
    (access.includes('r') ? READ : 0) |
    (access.includes('w') ? WRITE : 0)
  )
}

// struct bpf_insn: u8 code, u8 dst:4 src:4, s16 offset, s32 immediate. The 32-bit forms of all operations.
const load = (to: number, offset: number) => instruction(0x61, to, 1, offset, 0) // from the context in r1
const moveRegister = (to: number, from: number) => instruction(0xbc, to, from, 0, 0)
const moveImmediate = (to: number, value: number) => instruction(0xb4, to, 0, 0, value)
const shiftRight = (register: number, bits: number) => instruction(0x74, register, 0, 0, bits)
const andImmediate = (register: number, value: number) => instruction(0x54, register, 0, 0, value)
const jumpIfEqual = (register: number, value: number, skip: number) =>
  instruction(0x16, register, 0, skip, value)
const jumpUnlessEqual = (register: number, value: number, skip: number) =>
  instruction(0x56, register, 0, skip, value)
const exit = () => instruction(0x95, 0, 0, 0, 0)

function instruction(code: number, to: number, from: number, offset: number, immediate: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt8(code, 0)
  bytes.writeUInt8(to | (from << 4), 1)
  bytes.writeInt16LE(offset, 2)
  bytes.writeInt32LE(immediate | 0, 4)
  return bytes
}
