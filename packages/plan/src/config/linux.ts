/** OCI runtime-spec `linux`: config-linux.md. */
import { idMappings } from './mounts.ts'
import { refuseDuplicates } from './process.ts'
import {
  absolutePath,
  id,
  int64,
  integer,
  invalid,
  list,
  map,
  oneOf,
  optional,
  string,
  struct,
  uint32,
  type Infer,
  type Reader,
} from './reader.ts'
import { resources } from './resources.ts'
import { seccomp } from './seccomp.ts'

const device = struct({
  type: oneOf('b', 'c', 'u', 'p'),
  path: absolutePath,
  major: optional(integer(0, 0xfff)),
  minor: optional(integer(0, 0xf_ffff)),
  fileMode: optional(uint32),
  uid: optional(id),
  gid: optional(id),
})

const timeOffset = struct({ secs: optional(int64), nanosecs: optional(integer(0, 999_999_999)) })

export const namespaceTypes = ['pid', 'network', 'mount', 'ipc', 'uts', 'user', 'cgroup', 'time'] as const

/** set_mempolicy(2). */
export const memoryPolicyModes = [
  'MPOL_DEFAULT',
  'MPOL_BIND',
  'MPOL_INTERLEAVE',
  'MPOL_WEIGHTED_INTERLEAVE',
  'MPOL_PREFERRED',
  'MPOL_PREFERRED_MANY',
  'MPOL_LOCAL',
] as const

export const memoryPolicyFlags = [
  'MPOL_F_NUMA_BALANCING',
  'MPOL_F_RELATIVE_NODES',
  'MPOL_F_STATIC_NODES',
] as const

const linuxShape = struct({
  namespaces: optional(
    list(
      struct({
        type: oneOf(...namespaceTypes),
        path: optional(string),
      }),
    ),
  ),
  uidMappings: optional(idMappings),
  gidMappings: optional(idMappings),
  timeOffsets: optional(map(timeOffset)),
  devices: optional(list(device)),
  cgroupsPath: optional(string),
  resources: optional(resources),
  rootfsPropagation: optional(
    oneOf('', 'private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'unbindable', 'runbindable'),
  ),
  seccomp: optional(seccomp),
  sysctl: optional(map(string)),
  maskedPaths: optional(list(absolutePath)),
  readonlyPaths: optional(list(absolutePath)),
  personality: optional(struct({ domain: oneOf('LINUX', 'LINUX32'), flags: optional(list(string)) })),
  memoryPolicy: optional(
    struct({
      mode: oneOf(...memoryPolicyModes),
      nodes: optional(string),
      flags: optional(list(oneOf(...memoryPolicyFlags))),
    }),
  ),
  mountLabel: optional(string),
  intelRdt: optional(map((value) => value)),
  netDevices: optional(map(struct({ name: optional(string) }))),
})

export type OciLinux = Infer<typeof linuxShape>
/** OCI runtime-spec `linux.devices[]`. */
export type OciDevice = Infer<typeof device>

export const linux: Reader<OciLinux> = (value, path) => {
  const result = linuxShape(value, path)
  refuseDuplicates(result.namespaces ?? [], (each) => each.type, `${path}.namespaces`, 'type')
  result.namespaces?.forEach((each, index) => {
    if (each.path && !each.path.startsWith('/'))
      throw invalid(
        `${path}.namespaces[${index}].path`,
        `must be an absolute path, not ${JSON.stringify(each.path)}`,
      )
  })
  result.devices?.forEach((each, index) => {
    if (each.type !== 'p' && (each.major === undefined || each.minor === undefined))
      throw invalid(`${path}.devices[${index}].${each.major === undefined ? 'major' : 'minor'}`, 'is missing')
  })
  for (const clock of Object.keys(result.timeOffsets ?? {})) {
    if (clock !== 'monotonic' && clock !== 'boottime')
      throw invalid(`${path}.timeOffsets.${clock}`, 'is no clock of a time namespace: monotonic or boottime')
  }
  if (result.personality?.flags?.length)
    throw invalid(`${path}.personality.flags`, 'must be empty: the specification defines no flag')
  return result
}
