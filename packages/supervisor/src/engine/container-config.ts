/**
 * The create request as the engine takes it: Docker's own names and shapes (Engine API 1.51, `Config`, `HostConfig`,
 * `NetworkingConfig`), with defaults filled in by the API layer's schema. It is stored with what the image says where
 * it says nothing (image-defaults.ts), and never changed: `inspect` shows it again.
 */

export interface ContainerConfig {
  Hostname: string
  Domainname: string
  User: string
  AttachStdin: boolean
  AttachStdout: boolean
  AttachStderr: boolean
  ExposedPorts: Record<string, Record<string, never>>
  Tty: boolean
  OpenStdin: boolean
  StdinOnce: boolean
  Env: string[]
  /** null: the image's. */
  Cmd: string[] | null
  Image: string
  Volumes: Record<string, Record<string, never>>
  WorkingDir: string
  /** null: the image's; []: none. */
  Entrypoint: string[] | null
  Labels: Record<string, string>
  StopSignal?: string
  StopTimeout?: number
  MacAddress?: string
}

/** Docker's `HostConfig`, of POST /containers/create. */
export interface HostConfig {
  Binds: string[]
  Mounts: Mount[]
  Tmpfs: Record<string, string>
  NetworkMode: string
  PortBindings: Record<string, { HostIp: string; HostPort: string }[]>
  PublishAllPorts: boolean
  AutoRemove: boolean
  RestartPolicy: { Name: string; MaximumRetryCount: number }
  LogConfig: { Type: string; Config: Record<string, string> }
  CapAdd: string[]
  CapDrop: string[]
  CgroupnsMode: '' | 'host' | 'private'
  CgroupParent: string
  Dns: string[]
  DnsOptions: string[]
  DnsSearch: string[]
  ExtraHosts: string[]
  GroupAdd: string[]
  IpcMode: string
  PidMode: string
  UTSMode: string
  UsernsMode: string
  /** Holdfast's extension: `''` (own), `host`, `container:X`, `ns:NAME`, or an absolute path; with offsets. */
  TimeMode: string
  TimeOffsets: { monotonic?: number; boottime?: number }
  OomScoreAdj: number
  Privileged: boolean
  ReadonlyRootfs: boolean
  SecurityOpt: string[]
  ShmSize: number
  Sysctls: Record<string, string>
  Ulimits: { Name: string; Soft: number; Hard: number }[]
  Devices: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string }[]
  DeviceCgroupRules: string[]
  Init: boolean | null
  VolumesFrom: string[]
  MaskedPaths: string[] | null
  ReadonlyPaths: string[] | null
  Memory: number
  MemoryReservation: number
  MemorySwap: number
  MemorySwappiness: number | null
  OomKillDisable: boolean | null
  /** Empty or `default`: there is one kind on Linux. */
  Isolation: string
  /** The client's own business. */
  ContainerIDFile: string
  NanoCpus: number
  CpuShares: number
  CpuPeriod: number
  CpuQuota: number
  CpuRealtimePeriod: number
  CpuRealtimeRuntime: number
  CpusetCpus: string
  CpusetMems: string
  PidsLimit: number | null
  BlkioWeight: number
  BlkioWeightDevice: { Path: string; Weight: number }[]
  BlkioDeviceReadBps: BlkioRate[]
  BlkioDeviceWriteBps: BlkioRate[]
  BlkioDeviceReadIOps: BlkioRate[]
  BlkioDeviceWriteIOps: BlkioRate[]
  ConsoleSize: [number, number]
  Annotations: Record<string, string>
}

/** Bytes or operations a second of a block device. */
interface BlkioRate {
  Path: string
  Rate: number
}

export interface Mount {
  Type: 'bind' | 'volume' | 'tmpfs'
  Source: string
  Target: string
  ReadOnly: boolean
  BindOptions?: {
    Propagation?: string
    NonRecursive?: boolean
    CreateMountpoint?: boolean
    ReadOnlyNonRecursive?: boolean
    ReadOnlyForceRecursive?: boolean
  }
  VolumeOptions?: {
    NoCopy?: boolean
    Labels?: Record<string, string>
    Subpath?: string
    DriverConfig?: { Name?: string; Options?: Record<string, string> }
  }
  TmpfsOptions?: { SizeBytes?: number; Mode?: number }
}

/** Docker's `NetworkingConfig`, of POST /containers/create. */
export interface NetworkingConfig {
  EndpointsConfig: Record<
    string,
    {
      IPAMConfig?: { IPv4Address?: string; IPv6Address?: string } | null
      Aliases?: string[] | null
      MacAddress?: string
    }
  >
}
