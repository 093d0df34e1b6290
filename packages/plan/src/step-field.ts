/** From a step back to the configuration: which field asks for it, for the error where it fails. */
import type { Step } from './step.ts'

/** JSON path of the field; undefined for what the runtime does unasked. */
export function stepField(step: Step): string | undefined {
  if (step.field !== undefined) return step.field
  if (step.do === 'rlimit') return `process.rlimits: ${step.resource}`
  return fieldOf[step.do]
}

/** Kinds that come from one field alone. */
const fieldOf: Partial<Record<Step['do'], string>> = {
  'stage-overlay': 'root.path',
  'enter-root': 'root.path',
  'plant-root': 'root.path',
  'time-offsets': 'linux.timeOffsets',
  'oom-score-adj': 'process.oomScoreAdj',
  scheduler: 'process.scheduler',
  'io-priority': 'process.ioPriority',
  'cpu-affinity': 'process.execCPUAffinity',
  'memory-policy': 'linux.memoryPolicy',
  personality: 'linux.personality',
  hostname: 'hostname',
  domainname: 'domainname',
  console: 'process.terminal',
  umask: 'process.user.umask',
  user: 'process.user',
  capabilities: 'process.capabilities',
  seccomp: 'linux.seccomp',
  chdir: 'process.cwd',
}
