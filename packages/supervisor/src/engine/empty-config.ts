import type { ContainerConfig, HostConfig } from './container-config.ts'

/** A request that asks for nothing: what is left of a container whose record is lost, and a place to begin in tests. */
export function emptyConfig(): ContainerConfig {
  return {
    Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: false, AttachStderr: false,
    ExposedPorts: {}, Tty: false, OpenStdin: false, StdinOnce: false, Env: [], Cmd: null, Image: '', Volumes: {},
    WorkingDir: '', Entrypoint: null, Labels: {},
  }
}

export function emptyHostConfig(): HostConfig {
  return {
    Binds: [], Mounts: [], Tmpfs: {}, NetworkMode: 'default', PortBindings: {}, PublishAllPorts: false,
    AutoRemove: false, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    LogConfig: { Type: 'none', Config: {} }, CapAdd: [], CapDrop: [], CgroupnsMode: '', CgroupParent: '', Dns: [],
    DnsOptions: [], DnsSearch: [], ExtraHosts: [], GroupAdd: [], IpcMode: '', PidMode: '', UTSMode: '',
    UsernsMode: '', TimeMode: '', TimeOffsets: {}, OomScoreAdj: 0, Privileged: false, ReadonlyRootfs: false,
    SecurityOpt: [], ShmSize: 0, Sysctls: {}, Ulimits: [], Devices: [], DeviceCgroupRules: [], Init: null,
    VolumesFrom: [], MaskedPaths: null, ReadonlyPaths: null, Memory: 0, MemoryReservation: 0, MemorySwap: 0,
    MemorySwappiness: null, OomKillDisable: null, NanoCpus: 0, CpuShares: 0, CpuPeriod: 0, CpuQuota: 0,
    CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', PidsLimit: null, BlkioWeight: 0,
    ConsoleSize: [0, 0], Annotations: {},
  }
}
