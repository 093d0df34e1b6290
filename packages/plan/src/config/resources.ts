/** OCI runtime-spec `linux.resources`: config-linux.md#control-groups. */
import {
  boolean,
  int64,
  integer,
  invalid,
  list,
  map,
  nonEmpty,
  oneOf,
  optional,
  string,
  struct,
  uint16,
  uint32,
  uint64,
  type Infer,
  type Reader,
} from './reader.ts'

const access: Reader<string> = (value, path) => {
  const text = string(value, path)
  // "rwa" is about: runc passes over an a, which stands for nothing.
  if (/^[rwma]*$/.test(text) && new Set(text).size === text.length) return text.replace('a', '')
  throw invalid(path, `must be made of r, w and m, not ${JSON.stringify(text)}`)
}

/** -1 for every number, as an absent one. */
const deviceNumber = integer(-1, 0xffff_ffff)

const deviceRule = struct({
  allow: boolean,
  type: optional(oneOf('', 'a', 'b', 'c')),
  major: optional(deviceNumber),
  minor: optional(deviceNumber),
  access: optional(access),
})

const throttle = list(struct({ major: uint32, minor: uint32, rate: uint64 }))

export const resources = struct({
  devices: optional(list(deviceRule)),
  memory: optional(
    struct({
      limit: optional(int64),
      reservation: optional(int64),
      swap: optional(int64),
      kernel: optional(int64),
      kernelTCP: optional(int64),
      swappiness: optional(integer(0, 100)),
      disableOOMKiller: optional(boolean),
      useHierarchy: optional(boolean),
      /** Concerns updates of a running container alone. */
      checkBeforeUpdate: optional(boolean),
    }),
  ),
  cpu: optional(
    struct({
      shares: optional(uint64),
      quota: optional(int64),
      burst: optional(uint64),
      period: optional(uint64),
      realtimeRuntime: optional(int64),
      realtimePeriod: optional(uint64),
      cpus: optional(string),
      mems: optional(string),
      idle: optional(integer(0, 1)),
    }),
  ),
  pids: optional(struct({ limit: optional(int64) })),
  blockIO: optional(
    struct({
      weight: optional(uint16),
      leafWeight: optional(uint16),
      weightDevice: optional(
        list(
          struct({ major: uint32, minor: uint32, weight: optional(uint16), leafWeight: optional(uint16) }),
        ),
      ),
      throttleReadBpsDevice: optional(throttle),
      throttleWriteBpsDevice: optional(throttle),
      throttleReadIOPSDevice: optional(throttle),
      throttleWriteIOPSDevice: optional(throttle),
    }),
  ),
  hugepageLimits: optional(list(struct({ pageSize: nonEmpty, limit: uint64 }))),
  network: optional(
    struct({
      classID: optional(uint32),
      priorities: optional(list(struct({ name: nonEmpty, priority: uint32 }))),
    }),
  ),
  rdma: optional(map(struct({ hcaHandles: optional(uint32), hcaObjects: optional(uint32) }))),
  unified: optional(map(string)),
})

/** OCI runtime-spec `linux.resources`. */
export type OciResources = Infer<typeof resources>
/** OCI runtime-spec `linux.resources.devices[]`. */
export type OciDeviceRule = Infer<typeof deviceRule>
