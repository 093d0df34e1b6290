/**
 * A step of a plan → a step of the launcher's table. One case for each kind; what each field becomes in C is in
 * `packages/core/launcher/`, in the file that `opcodes.h` names for the opcode.
 */
import { namespaceFlags, type TableWriter } from '@holdfast/core'
import type { NamespaceType, Step } from '@holdfast/plan'
import { encodeCredentialStep, isCredentialStep } from './encode-credential-step.ts'
import { encodeMountStep, isMountStep } from './encode-mount-step.ts'
import { encodeSettingStep, isSettingStep } from './encode-setting-step.ts'

const S_IF = { b: 0o060000, c: 0o020000, p: 0o010000 } as const

/** Adds the step to the table. Throws HF_INVALID_CONFIG for a word that it doesn't know. */
export function encodeStep(table: TableWriter, step: Step): void {
  if (isMountStep(step)) return encodeMountStep(table, step)
  if (isSettingStep(step)) return encodeSettingStep(table, step)
  if (isCredentialStep(step)) return encodeCredentialStep(table, step)
  switch (step.do) {
    case 'unshare':
      return void table.step('unshare').u32(flagsOf(step.namespaces))
    case 'join':
      if (step.namespace === 'time') table.needsOwnMemory = true
      return void table.step('join').fd(step.fd).u32(namespaceFlags[step.namespace])
    case 'join-process':
      return encodeJoinProcess(table, step)
    case 'become-root':
      return void table.step('become_root').flag(step.rootless === true)
    case 'time-offsets':
      table.needsTimeOffsets = true
      return void table.step('time_offsets').text(timeOffsetLines(step))
    case 'clone':
      return void table.step('clone').u32(flagsOf(step.namespaces)).fd(step.cgroup)
    case 'hostname':
    case 'domainname':
      return void table.step(step.do).text(step.name)
    case 'loopback-up':
      return void table.step('loopback_up')
    case 'sysctl':
      table.needsProc = true
      return void table.step('sysctl').text(sysctlPath(step.key)).text(step.value)
    case 'mknod': {
      const { device } = step
      table.step('mknod').text(step.path).u32(S_IF[device.type])
      table.u32('major' in device ? device.major : 0).u32('minor' in device ? device.minor : 0)
      return void table.u32(step.mode).u32(step.uid).u32(step.gid)
    }
    case 'symlink':
      return void table
        .step('symlink')
        .text(step.path)
        .text(step.target)
        .text(step.ifExists ?? '')
    case 'mkdir':
      return void table.step('mkdir').text(step.path).u32(step.mode)
    case 'chdir':
      return void table.step('chdir').text(step.path).flag(step.create)
    case 'sync':
      return void table.step('sync')
    case 'door':
      return void table.step('door').fd(step.listen).flag(!!step.silent)
    case 'hook':
      return encodeHook(table, step)
    case 'console':
      table.step('console').u32(step.rows).u32(step.columns).flag(step.bind)
      return void table.u32(step.uid).u32(step.gid ?? 0xffff_ffff) // chown(2): -1 leaves it
    case 'stdio':
      return void table.step('stdio').fd(step.stdin).fd(step.stdout).fd(step.stderr)
    case 'exec':
      return void table.step('exec').flag(step.init).texts(step.args).texts(step.env)
    default:
      return step satisfies never
  }
}

/** setns(2) into a time namespace is for a process alone in its memory: as the first step it can be the launcher's own. */
function encodeJoinProcess(table: TableWriter, { namespaces, pidfd }: Step & { do: 'join-process' }): void {
  if (namespaces.includes('time')) {
    if (table.steps === 0 && namespaces.length === 1) table.earlySteps = 1
    else table.needsOwnMemory = true
  }
  table.step('join').fd(pidfd).u32(flagsOf(namespaces))
}

/** What the clone step's child gets into, and what `unshare` leaves: CLONE_NEW… flags. */
function flagsOf(namespaces: readonly NamespaceType[]): number {
  return namespaces.reduce((flags, type) => flags | namespaceFlags[type], 0)
}

function timeOffsetLines(step: Step & { do: 'time-offsets' }): string {
  const line = (clock: 'monotonic' | 'boottime'): string => {
    const offset = step[clock]
    return offset === undefined ? '' : `${clock} ${offset.secs} ${offset.nanosecs}\n`
  }
  return line('monotonic') + line('boottime')
}

/**
 * `net.ipv4.ip_forward` or `net/ipv4/ip_forward` → `sys/net/ipv4/ip_forward`. As sysctl(8): the first separator says
 * which form it is, and the other character then stands for itself in a name (`net.ipv4.conf.eth0/1.mtu`).
 */
export function sysctlPath(key: string): string {
  const dotted = /^[^./]*\./.test(key)
  const path = dotted ? key.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.')) : key
  return `sys/${path}`
}

function encodeHook(table: TableWriter, step: Step & { do: 'hook' }): void {
  const at = step.state.indexOf('%PID%')
  const [before, after] = at < 0 ? [step.state, ''] : [step.state.slice(0, at), step.state.slice(at + 5)]
  table
    .step('hook')
    .text(step.path)
    .texts(step.args.length === 0 ? [step.path] : step.args)
    .texts(step.env)
  table.u64(step.timeoutMs === undefined ? (1n << 64n) - 1n : step.timeoutMs)
  table.text(before).text(after)
}
