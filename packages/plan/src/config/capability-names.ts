/**
 * Names of capabilities, as configurations have them. The kernel knows numbers alone, and so do `core` and the
 * launcher: names become numbers where a plan is encoded, and a host's numbers become names here.
 */
import { HoldfastError } from '@holdfast/errors'

/** Every capability of Linux, in the order of their numbers (capabilities(7), include/uapi/linux/capability.h). */
export const allCapabilities: readonly string[] = [
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
]

/** One bit for each, by its number. Throws HF_INVALID_CONFIG for a name that Linux doesn't have. */
export function capabilityMask(names: readonly string[]): bigint {
  return names.reduce((mask, name) => {
    const number = allCapabilities.indexOf(name)
    if (number < 0) throw new HoldfastError('HF_INVALID_CONFIG', `unknown capability: ${name}`)
    return mask | (1n << BigInt(number))
  }, 0n)
}

/** Without those that are newer than this list. */
export function capabilityNames(numbers: readonly number[]): string[] {
  return numbers.flatMap((number) => allCapabilities[number] ?? [])
}
