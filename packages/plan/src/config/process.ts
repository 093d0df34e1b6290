/** OCI runtime-spec `process`: config.md#process and config-linux's part of it. */
import {
  absolutePath,
  boolean,
  id,
  int32,
  integer,
  invalid,
  list,
  nonEmpty,
  oneOf,
  optional,
  string,
  struct,
  uint64,
  type Infer,
} from './reader.ts'

/** POSIX and Linux limits as getrlimit(2) names them. */
const rlimitTypes = [
  'RLIMIT_AS',
  'RLIMIT_CORE',
  'RLIMIT_CPU',
  'RLIMIT_DATA',
  'RLIMIT_FSIZE',
  'RLIMIT_LOCKS',
  'RLIMIT_MEMLOCK',
  'RLIMIT_MSGQUEUE',
  'RLIMIT_NICE',
  'RLIMIT_NOFILE',
  'RLIMIT_NPROC',
  'RLIMIT_RSS',
  'RLIMIT_RTPRIO',
  'RLIMIT_RTTIME',
  'RLIMIT_SIGPENDING',
  'RLIMIT_STACK',
] as const

/** Any text: a name that this kernel, or Linux, doesn't know is left out with a warning, as the specification asks. */
const capabilities = list(string)

/** The program and what it runs as. */
const process = struct({
  terminal: optional(boolean),
  /** Honoured only with `terminal`. */
  consoleSize: optional(struct({ height: integer(0, 0xffff), width: integer(0, 0xffff) })),
  cwd: absolutePath,
  env: optional(list(string)),
  args: optional(list(string)),
  user: optional(
    struct({
      uid: optional(id),
      gid: optional(id),
      umask: optional(integer(0, 0o777)),
      additionalGids: optional(list(id)),
    }),
  ),
  rlimits: optional(list(struct({ type: oneOf(...rlimitTypes), soft: uint64, hard: uint64 }))),
  capabilities: optional(
    struct({
      bounding: optional(capabilities),
      effective: optional(capabilities),
      permitted: optional(capabilities),
      inheritable: optional(capabilities),
      ambient: optional(capabilities),
    }),
  ),
  noNewPrivileges: optional(boolean),
  oomScoreAdj: optional(integer(-1000, 1000)),
  scheduler: optional(
    struct({
      policy: oneOf(
        'SCHED_OTHER',
        'SCHED_FIFO',
        'SCHED_RR',
        'SCHED_BATCH',
        'SCHED_ISO',
        'SCHED_IDLE',
        'SCHED_DEADLINE',
      ),
      nice: optional(integer(-20, 19)),
      priority: optional(int32),
      flags: optional(
        list(
          oneOf(
            'SCHED_FLAG_RESET_ON_FORK',
            'SCHED_FLAG_RECLAIM',
            'SCHED_FLAG_DL_OVERRUN',
            'SCHED_FLAG_KEEP_POLICY',
            'SCHED_FLAG_KEEP_PARAMS',
            'SCHED_FLAG_UTIL_CLAMP_MIN',
            'SCHED_FLAG_UTIL_CLAMP_MAX',
          ),
        ),
      ),
      runtime: optional(uint64),
      deadline: optional(uint64),
      period: optional(uint64),
    }),
  ),
  ioPriority: optional(
    struct({
      class: oneOf('IOPRIO_CLASS_RT', 'IOPRIO_CLASS_BE', 'IOPRIO_CLASS_IDLE'),
      priority: optional(int32),
    }),
  ),
  /** For processes that `exec` starts; the container's own takes none. Lists as in cpuset(7): "0-3,7". */
  execCPUAffinity: optional(struct({ initial: optional(string), final: optional(string) })),
  apparmorProfile: optional(string),
  selinuxLabel: optional(string),
  commandLine: optional(nonEmpty),
})

/** OCI runtime-spec `process`. */
export type OciProcess = Infer<typeof process>
export type OciCapabilities = NonNullable<OciProcess['capabilities']>

/** One process object, as `config.json` has it and as `exec --process` takes it. */
export function readProcess(value: unknown, path = 'process'): OciProcess {
  const result = process(value, path)
  if (!result.args?.length) throw invalid(`${path}.args`, 'must name the program to run')
  refuseDuplicates(result.rlimits ?? [], (limit) => limit.type, `${path}.rlimits`, 'type')
  result.rlimits?.forEach((limit, index) => {
    if (BigInt(limit.soft) > BigInt(limit.hard))
      throw invalid(`${path}.rlimits[${index}].soft`, `must not be above the hard limit, ${limit.hard}`)
  })
  if (result.ioPriority && (result.ioPriority.priority ?? 0) >>> 0 > 7)
    throw invalid(`${path}.ioPriority.priority`, `must be from 0 to 7, not ${result.ioPriority.priority}`)
  return result
}

/** Two entries for one thing: the specification asks for an error, since either could be meant. */
export function refuseDuplicates<T>(items: T[], key: (item: T) => string, path: string, field: string): void {
  const seen = new Set<string>()
  items.forEach((item, index) => {
    const value = key(item)
    if (seen.has(value)) throw invalid(`${path}[${index}].${field}`, `repeats ${value}`)
    seen.add(value)
  })
}
