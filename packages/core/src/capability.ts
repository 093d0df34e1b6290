/** Capabilities: capabilities(7), capget(2), capset(2), PR_CAPBSET_DROP, PR_CAP_AMBIENT. */
import { readFileSync } from 'node:fs'
import { checkInteger, checkPid, bad } from './argument.ts'
import { addon, check } from './native.ts'

const native = addon as {
  setCapabilities(effective: bigint, permitted: bigint, inheritable: bigint): number
  dropBounding(capability: number): number
  raiseAmbient(capability: number): number
  clearAmbient(): number
}

/** Every capability, in the order of its number: `capabilityNames[21]` is CAP_SYS_ADMIN. */
export const capabilityNames = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const

export type CapabilityName = (typeof capabilityNames)[number]

const numbers: ReadonlyMap<string, number> = new Map(capabilityNames.map((name, number) => [name, number]))

/** The number of a capability; undefined for a name that is not known. */
export function capabilityNumber(name: string): number | undefined {
  return numbers.get(name)
}

let last: number | undefined

/** The highest number this kernel knows. */
export function lastCapability(): number {
  return (last ??= Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'latin1')))
}

export interface CapabilitySets {
  effective: string[]
  permitted: string[]
  inheritable: string[]
  bounding: string[]
  ambient: string[]
}

/** The five sets of a process's main thread (default: our own). Numbers without a name show as `CAP_<number>`. */
export function capabilitySets(pid?: number): CapabilitySets {
  const status = readFileSync(`/proc/${pid === undefined ? 'self' : checkPid(pid)}/status`, 'latin1')
  const set = (field: string): string[] => {
    const hex = new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1]
    return namesOfMask(BigInt(`0x${hex ?? '0'}`))
  }
  return {
    effective: set('CapEff'),
    permitted: set('CapPrm'),
    inheritable: set('CapInh'),
    bounding: set('CapBnd'),
    ambient: set('CapAmb'),
  }
}

export function capabilityMask(names: readonly string[]): bigint {
  return names.reduce((mask, name) => {
    const number = numbers.get(name)
    if (number === undefined) throw bad('capability', `is unknown: ${name}`)
    return mask | (1n << BigInt(number))
  }, 0n)
}

function namesOfMask(mask: bigint): string[] {
  const names: string[] = []
  for (let number = 0; mask >> BigInt(number) !== 0n; number++) {
    if ((mask >> BigInt(number)) & 1n) names.push(capabilityNames[number] ?? `CAP_${number}`)
  }
  return names
}

/** capset(2) of the *calling thread* alone: other threads keep theirs. */
export function setCapabilities(sets: Pick<CapabilitySets, 'effective' | 'permitted' | 'inheritable'>): void {
  const { effective, permitted, inheritable } = sets
  const masks = [effective, permitted, inheritable].map(capabilityMask) as [bigint, bigint, bigint]
  check(native.setCapabilities(...masks), 'capset')
}

/** Takes a capability out of the calling thread's bounding set, for good. */
export function dropBoundingCapability(name: string): void {
  check(native.dropBounding(numberOf(name)), 'prctl(PR_CAPBSET_DROP)', { path: name })
}

/** Adds to the ambient set; the capability must be permitted and inheritable. */
export function raiseAmbientCapability(name: string): void {
  check(native.raiseAmbient(numberOf(name)), 'prctl(PR_CAP_AMBIENT_RAISE)', { path: name })
}

export function clearAmbientCapabilities(): void {
  check(native.clearAmbient(), 'prctl(PR_CAP_AMBIENT_CLEAR_ALL)')
}

function numberOf(name: string): number {
  const number = numbers.get(name)
  if (number === undefined) throw bad('capability', `is unknown: ${name}`)
  return checkInteger(number, 'capability', 0, 63)
}
