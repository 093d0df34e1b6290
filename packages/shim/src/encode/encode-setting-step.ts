/** Steps that set what a process inherits: `process.c` of the launcher. */
import { resourceNames, type TableWriter } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import type { Step } from '@holdfast/plan'

const settingSteps = [
  'rlimit',
  'oom-score-adj',
  'security-label',
  'scheduler',
  'io-priority',
  'cpu-affinity',
  'memory-policy',
  'personality',
  'join-cgroups',
  'new-session',
  'session-keyring',
  'umask',
  'preserve',
  'find-program',
] as const

type SettingStep = Extract<Step, { do: (typeof settingSteps)[number] }>

export function isSettingStep(step: Step): step is SettingStep {
  return (settingSteps as readonly string[]).includes(step.do)
}

export function encodeSettingStep(table: TableWriter, step: SettingStep): void {
  switch (step.do) {
    case 'rlimit':
      table
        .step('rlimit')
        .text(step.resource)
        .u32(numberOf(resources, step.resource, 'rlimit'))
      return void table
        .u64(BigInt(step.soft))
        .u64(BigInt(step.hard))
        .flag(step.raise === true)
    case 'oom-score-adj':
      table.oomScoreAdj = step.value
      return writeSelf(table, 'oom_score_adj', String(step.value), step.rootless)
    case 'security-label':
      return writeSelf(table, `attr/${step.attribute}`, step.label)
    case 'scheduler':
      return encodeScheduler(table, step)
    case 'io-priority':
      return void table
        .step('io_priority')
        .u32((numberOf(ioClasses, step.class, 'I/O class') << 13) | step.priority)
    case 'cpu-affinity':
      return void table.step('cpu_affinity').bytes(bitmask(step.cpus))
    case 'memory-policy':
      table
        .step('memory_policy')
        .u32(
          numberOf(memoryModes, step.mode, 'memory policy') |
            orOf(memoryFlags, step.flags, 'memory policy flag'),
        )
      return void table.bytes(bitmask(step.nodes))
    case 'personality':
      return void table.step('personality').u32(step.domain === 'LINUX32' ? 8 : 0)
    case 'join-cgroups':
      table.step('join_cgroups').u32(step.procs.length)
      for (const name of step.procs) table.fd(name).text(name)
      return
    case 'new-session':
      return void table.step('new_session')
    case 'session-keyring':
      return void table
        .step('session_keyring')
        .text(step.name)
        .u32(step.findable ? KEYRING_FINDABLE : 0)
    case 'umask':
      return void table.step('umask').u32(step.mask)
    case 'preserve':
      table.step('preserve').u32(step.fds.length)
      for (const name of step.fds) table.fd(name)
      return
    case 'find-program':
      return void table
        .step('find_program')
        .text(step.program)
        .text(step.path ?? '')
    default:
      return step satisfies never
  }
}

/** A file of /proc/self. */
function writeSelf(table: TableWriter, file: string, value: string, rootless = false): void {
  table.needsProc = true
  table.step('write_self').text(`self/${file}`).text(value).flag(rootless)
}

function encodeScheduler(table: TableWriter, step: Step & { do: 'scheduler' }): void {
  table.step('scheduler').u32(numberOf(policies, step.policy, 'scheduling policy'))
  table
    .u64(orOf(schedulerFlags, step.flags, 'scheduler flag'))
    .i32(step.nice)
    .u32(step.priority)
  table.u64(BigInt(step.runtime)).u64(BigInt(step.deadline)).u64(BigInt(step.period))
}

/** keyctl_setperm(3): all to who possesses it; to its user VIEW, READ and LINK, as by default, and SEARCH. */
const KEYRING_FINDABLE = 0x3f1b_0000

const resources = Object.fromEntries(resourceNames.map((name, number) => [name, number]))

/** linux/sched.h; 4 is not in use. */
const policies = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
}

const schedulerFlags = {
  SCHED_FLAG_RESET_ON_FORK: 0x01,
  SCHED_FLAG_RECLAIM: 0x02,
  SCHED_FLAG_DL_OVERRUN: 0x04,
  SCHED_FLAG_KEEP_POLICY: 0x08,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
}

const ioClasses = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 }

/** linux/mempolicy.h */
const memoryModes = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
}

const memoryFlags = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
}

function numberOf(numbers: Readonly<Record<string, number>>, word: string, what: string): number {
  const number = Object.hasOwn(numbers, word) ? numbers[word] : undefined
  if (number === undefined) throw new HoldfastError('HF_INVALID_CONFIG', `unknown ${what}: ${word}`)
  return number
}

function orOf(numbers: Readonly<Record<string, number>>, words: readonly string[], what: string): number {
  return words.reduce((flags, word) => flags | numberOf(numbers, word, what), 0)
}

/** One bit for each number, in whole 64-bit words, as the kernel reads CPU and node masks. */
function bitmask(numbers: readonly number[]): Buffer {
  if (numbers.length === 0) return Buffer.alloc(0)
  const mask = Buffer.alloc(8 * (1 + Math.floor(Math.max(...numbers) / 64)))
  for (const number of numbers) mask[number >> 3]! |= 1 << (number & 7)
  return mask
}
