/** What of /proc and /sys a container doesn't see, or sees and can't write. */
import type { HostConfig } from '../engine/container-config.ts'
import type { SpecHost } from './spec-input.ts'

/** Information about the machine and its other tenants, and ways to harm both. */
const maskedPaths = [
  '/proc/acpi', // firmware, and on some machines its switches
  '/proc/asound',
  '/proc/interrupts', // timing of what others type and send
  '/proc/kcore', // the kernel's memory
  '/proc/keys', // names of everybody's keys
  '/proc/latency_stats',
  '/proc/sched_debug', // every process of the host
  '/proc/scsi', // takes devices off the bus
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap', // power meters: a side channel (PLATYPUS)
  '/sys/firmware',
]

/** Settings of the kernel that no namespace holds. */
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

/** The request's lists stand as they are, empty ones too; null means the defaults. */
export function hiddenPaths(
  host: HostConfig,
  facts: SpecHost,
): { maskedPaths: string[]; readonlyPaths: string[] } {
  if (host.Privileged) return { maskedPaths: [], readonlyPaths: [] }
  return {
    maskedPaths: host.MaskedPaths ?? [...maskedPaths, ...facts.thermalThrottle],
    readonlyPaths: host.ReadonlyPaths ?? readonlyPaths,
  }
}
