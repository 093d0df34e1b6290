import { HoldfastError } from '@holdfast/errors'
import * as v from 'valibot'
import { checkPortKey } from './port-key.ts'
import {
  flag,
  integer,
  mapOf,
  nullableFlag,
  nullableInteger,
  nullableList,
  oneOrMore,
  optionalText,
  text,
  textList,
  textMap,
  withDefault,
} from './primitives.ts'
import { isZero, oneOf, refuseUnsupported, unsupported, type Unsupported } from './refuse-unsupported.ts'

const defaultShmSize = 64 * 1024 * 1024

const optionalInteger = v.optional(
  v.pipe(v.number('expected a number'), v.safeInteger('expected a whole number')),
)
const optionalFlag = v.optional(v.boolean('expected true or false'))
const optional = <T extends v.GenericSchema>(schema: T) => v.optional(v.nullable(schema))

const mountSchema = v.object({
  Type: text,
  Source: text,
  Target: text,
  ReadOnly: flag,
  BindOptions: optional(
    v.object({
      Propagation: optionalText,
      NonRecursive: optionalFlag,
      CreateMountpoint: optionalFlag,
      ReadOnlyNonRecursive: optionalFlag,
      ReadOnlyForceRecursive: optionalFlag,
    }),
  ),
  VolumeOptions: optional(
    v.object({
      NoCopy: optionalFlag,
      Labels: textMap,
      Subpath: optionalText,
      DriverConfig: optional(v.object({ Name: optionalText, Options: textMap })),
    }),
  ),
  TmpfsOptions: optional(v.object({ SizeBytes: integer, Mode: integer })),
})

const portBinding = v.object({ HostIp: text, HostPort: text })

const listOf = <T extends v.GenericSchema>(schema: T) =>
  v.nullish(v.array(schema, 'expected a list'), () => [])
const rates = listOf(v.object({ Path: text, Rate: integer }))

/** `HostConfig` of API 1.51, as far as it is honoured; the table below it has the rest. */
export const hostConfigSchema = v.object({
  Binds: textList,
  Mounts: listOf(mountSchema),
  Tmpfs: textMap,
  NetworkMode: text,
  PortBindings: mapOf(v.nullish(v.array(portBinding, 'expected a list'), () => [])),
  PublishAllPorts: flag,
  AutoRemove: flag,
  RestartPolicy: withDefault(v.object({ Name: text, MaximumRetryCount: integer })),
  LogConfig: withDefault(v.object({ Type: text, Config: textMap })),
  CapAdd: oneOrMore,
  CapDrop: oneOrMore,
  CgroupnsMode: text,
  CgroupParent: text,
  Dns: textList,
  DnsOptions: textList,
  DnsSearch: textList,
  ExtraHosts: textList,
  GroupAdd: textList,
  IpcMode: text,
  PidMode: text,
  UTSMode: text,
  UsernsMode: text,
  TimeMode: text,
  TimeOffsets: withDefault(v.strictObject({ monotonic: optionalInteger, boottime: optionalInteger })),
  OomScoreAdj: integer,
  Privileged: flag,
  ReadonlyRootfs: flag,
  SecurityOpt: textList,
  ShmSize: integer,
  Sysctls: textMap,
  Ulimits: listOf(v.object({ Name: text, Soft: integer, Hard: integer })),
  Devices: listOf(v.object({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text })),
  DeviceCgroupRules: textList,
  Init: nullableFlag,
  VolumesFrom: textList,
  MaskedPaths: nullableList,
  ReadonlyPaths: nullableList,
  Memory: integer,
  MemoryReservation: integer,
  MemorySwap: integer,
  MemorySwappiness: nullableInteger,
  OomKillDisable: nullableFlag,
  Isolation: text,
  ContainerIDFile: text,
  NanoCpus: integer,
  CpuShares: integer,
  CpuPeriod: integer,
  CpuQuota: integer,
  CpuRealtimePeriod: integer,
  CpuRealtimeRuntime: integer,
  CpusetCpus: text,
  CpusetMems: text,
  PidsLimit: nullableInteger,
  BlkioWeight: integer,
  BlkioWeightDevice: listOf(v.object({ Path: text, Weight: integer })),
  BlkioDeviceReadBps: rates,
  BlkioDeviceWriteBps: rates,
  BlkioDeviceReadIOps: rates,
  BlkioDeviceWriteIOps: rates,
  ConsoleSize: v.nullish(v.tuple([v.number(), v.number()]), [0, 0]),
  Annotations: textMap,
})

/** A mount's `Consistency` changes nothing here. */
const unsupportedFields: Unsupported = {
  DeviceRequests: isZero,
  KernelMemory: isZero,
  KernelMemoryTCP: isZero,
  CpuCount: isZero,
  CpuPercent: isZero,
  IOMaximumIOps: isZero,
  IOMaximumBandwidth: isZero,
  DiskQuota: isZero,
  VolumeDriver: oneOf('local'),
  Cgroup: isZero,
  Links: isZero,
  LxcConf: isZero,
  Capabilities: isZero,
  StorageOpt: isZero,
}

/** All the names that `refuseInHostConfig` looks for. */
export const refusedInHostConfig = [
  ...Object.keys(unsupportedFields),
  'Runtime',
  'ImageOptions',
  'ClusterOptions',
  'Options',
]

const mountTypes = new Set(['bind', 'volume', 'tmpfs'])

/** Looks at the raw body, before the schema has dropped what it doesn't know. Throws HF_UNSUPPORTED, HF_BAD_REQUEST. */
export function refuseInHostConfig(body: unknown): void {
  refuseUnsupported('HostConfig.', body, unsupportedFields)
  checkRuntime((body as { Runtime?: unknown } | null | undefined)?.Runtime)
  const mounts = (body as { Mounts?: unknown } | null | undefined)?.Mounts
  for (const [index, mount] of (Array.isArray(mounts) ? mounts : []).entries()) {
    const where = `HostConfig.Mounts.${index}.`
    refuseUnsupported(where, mount, { ImageOptions: isZero, ClusterOptions: isZero })
    refuseUnsupported(`${where}TmpfsOptions.`, (mount as { TmpfsOptions?: unknown } | null)?.TmpfsOptions, {
      Options: isZero,
    })
  }
}

/** As with dockerd a runtime that was not set up is a slip in the request, not a thing still to be built. */
function checkRuntime(runtime: unknown): void {
  if (isZero(runtime) || runtime === 'holdfast') return
  const field = 'HostConfig.Runtime'
  throw new HoldfastError('HF_BAD_REQUEST', `unknown runtime specified ${String(runtime)}`, {
    details: { field },
  })
}

export type ParsedHostConfig = v.InferOutput<typeof hostConfigSchema>

/** What a schema can't say and the engine doesn't know of. Throws HF_UNSUPPORTED and HF_BAD_REQUEST. */
export function checkHostConfig(host: ParsedHostConfig): void {
  for (const key of Object.keys(host.PortBindings)) checkPortKey(`HostConfig.PortBindings.${key}`, key)
  for (const [index, mount] of host.Mounts.entries()) {
    const field = `HostConfig.Mounts.${index}.Type`
    if (mountTypes.has(mount.Type)) continue
    if (['image', 'cluster', 'npipe'].includes(mount.Type))
      throw unsupported(field, `"${mount.Type}" is not supported`)
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid mount config for type "${mount.Type}": mount type unknown`,
      {
        details: { field },
      },
    )
  }
  if (!['', 'default'].includes(host.Isolation)) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid isolation: "${host.Isolation}" - linux only supports 'default'`,
      { details: { field: 'HostConfig.Isolation' } },
    )
  }
  if (!['', 'host', 'private'].includes(host.CgroupnsMode)) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid cgroup namespace mode: ${host.CgroupnsMode}`)
  }
}

/** Docker's defaults for what was left at zero. */
export function withDefaults(host: ParsedHostConfig): ParsedHostConfig {
  return {
    ...host,
    NetworkMode: host.NetworkMode === '' || host.NetworkMode === 'default' ? 'bridge' : host.NetworkMode,
    RestartPolicy: { ...host.RestartPolicy, Name: host.RestartPolicy.Name || 'no' },
    LogConfig: { ...host.LogConfig, Type: host.LogConfig.Type || 'json-file' },
    ShmSize: host.ShmSize || defaultShmSize,
    // What docker's command sends where nobody asked for anything; `inspect` shows null for that.
    MemorySwappiness: host.MemorySwappiness === -1 ? null : host.MemorySwappiness,
    PidsLimit: (host.PidsLimit ?? 0) <= 0 ? null : host.PidsLimit,
  }
}
