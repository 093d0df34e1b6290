import type { ContainerConfig, HostConfig } from '../../engine/container-config.ts'
import type { ContainerRecord, ContainerState, EndpointRecord } from '../../engine/container-record.ts'
import { hiddenPaths } from '../../spec/masked-paths.ts'
import type { SpecHost } from '../../spec/index.ts'
import { zeroTime } from '../go-time.ts'

export interface InspectOptions {
  /** Minor number of the API version. */
  api: number
  sizes?: { rw: number; rootFs: number } | undefined
  /** What of /proc and /sys is hidden where the request didn't say. */
  host: SpecHost
}

/** `GET /containers/{id}/json` in the shape of the version asked for. */
export function renderContainer(record: ContainerRecord, options: InspectOptions): unknown {
  const { rootfs } = record
  return {
    Id: record.id,
    Created: record.created,
    Path: record.path,
    Args: record.args,
    State: renderState(record.state),
    Image: record.imageId,
    ResolvConfPath: record.resolvConfPath,
    HostnamePath: record.hostnamePath,
    HostsPath: record.hostsPath,
    LogPath: record.logPath,
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: record.execIds.length > 0 ? record.execIds : null,
    HostConfig: renderHostConfig(record.hostConfig, options),
    GraphDriver: {
      Data: {
        LowerDir: rootfs?.lower.join(':') ?? '',
        MergedDir: '',
        UpperDir: rootfs?.upper ?? '',
        WorkDir: rootfs?.work ?? '',
      },
      Name: 'overlay2',
    },
    ...(options.sizes ? { SizeRw: options.sizes.rw, SizeRootFs: options.sizes.rootFs } : {}),
    Mounts: renderMounts(record),
    Config: renderConfig(record.config),
    NetworkSettings: renderNetworkSettings(record, options.api),
    // Beyond Docker's shape: whose ids the container's are on this machine.
    Holdfast: { IdRange: record.idRange },
  }
}

export function renderMounts({ mounts }: ContainerRecord): unknown {
  return mounts.map((mount) => ({ ...mount, subpath: undefined }))
}

function renderState(state: ContainerState): unknown {
  const { status } = state
  return {
    Status: status,
    // As in Docker, a paused container is running too.
    Running: status === 'running' || status === 'paused' || status === 'restarting',
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: status === 'dead',
    Pid: state.pid,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt || zeroTime,
    FinishedAt: state.finishedAt || zeroTime,
  }
}

function renderConfig(config: ContainerConfig): unknown {
  return {
    Hostname: config.Hostname,
    Domainname: config.Domainname,
    User: config.User,
    AttachStdin: config.AttachStdin,
    AttachStdout: config.AttachStdout,
    AttachStderr: config.AttachStderr,
    ...(isEmpty(config.ExposedPorts) ? {} : { ExposedPorts: config.ExposedPorts }),
    Tty: config.Tty,
    OpenStdin: config.OpenStdin,
    StdinOnce: config.StdinOnce,
    Env: config.Env,
    Cmd: config.Cmd,
    Image: config.Image,
    Volumes: isEmpty(config.Volumes) ? null : config.Volumes,
    WorkingDir: config.WorkingDir,
    Entrypoint: config.Entrypoint,
    ...(config.MacAddress === undefined ? {} : { MacAddress: config.MacAddress }),
    OnBuild: null,
    Labels: config.Labels,
    ...(config.StopSignal === undefined ? {} : { StopSignal: config.StopSignal }),
    ...(config.StopTimeout === undefined ? {} : { StopTimeout: config.StopTimeout }),
  }
}

/** What was asked for, and the zero value of every field that is refused when it is anything else. */
function renderHostConfig(host: HostConfig, { api, host: facts }: InspectOptions): unknown {
  const { maskedPaths, readonlyPaths } = hiddenPaths(host, facts)
  const { Mounts, Tmpfs, Sysctls, Annotations, TimeMode, TimeOffsets, Init, ...rest } = host
  return {
    ...rest,
    // A privileged container has nothing hidden, and Docker shows no lists for it.
    MaskedPaths: host.Privileged ? host.MaskedPaths : maskedPaths,
    ReadonlyPaths: host.Privileged ? host.ReadonlyPaths : readonlyPaths,
    ...(api < 42 ? { KernelMemory: 0, KernelMemoryTCP: 0 } : {}),
    Binds: orNull(host.Binds),
    CapAdd: orNull(host.CapAdd),
    CapDrop: orNull(host.CapDrop),
    ExtraHosts: orNull(host.ExtraHosts),
    GroupAdd: orNull(host.GroupAdd),
    SecurityOpt: orNull(host.SecurityOpt),
    VolumesFrom: orNull(host.VolumesFrom),
    DeviceCgroupRules: orNull(host.DeviceCgroupRules),
    CgroupnsMode: host.CgroupnsMode || 'private',
    IpcMode: host.IpcMode || 'private',
    VolumeDriver: '',
    Cgroup: '',
    Links: null,
    Runtime: 'holdfast',
    DeviceRequests: null,
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    ...(Mounts.length > 0 ? { Mounts } : {}),
    ...(isEmpty(Tmpfs) ? {} : { Tmpfs }),
    ...(isEmpty(Sysctls) ? {} : { Sysctls }),
    ...(isEmpty(Annotations) ? {} : { Annotations }),
    ...(Init === null ? {} : { Init }),
    ...(TimeMode === '' ? {} : { TimeMode }),
    ...(isEmpty(TimeOffsets) ? {} : { TimeOffsets }),
  }
}

function renderNetworkSettings(record: ContainerRecord, api: number): unknown {
  const endpoints = Object.entries(record.networks)
  // The fields beside Networks are from before there were several; they speak of the default bridge.
  const bridge = record.networks['bridge']
  const { pid } = record.state
  return {
    Bridge: '',
    SandboxID: bridge?.endpointId ?? endpoints[0]?.[1].endpointId ?? '',
    SandboxKey: pid > 0 ? `/proc/${pid}/ns/net` : '',
    Ports: Object.assign({}, ...endpoints.map(([, endpoint]) => endpoint.ports)) as EndpointRecord['ports'],
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.endpointId ?? '',
    Gateway: bridge?.gateway ?? '',
    GlobalIPv6Address: bridge?.globalIPv6Address ?? '',
    GlobalIPv6PrefixLen: bridge?.globalIPv6PrefixLen ?? 0,
    IPAddress: bridge?.ipAddress ?? '',
    IPPrefixLen: bridge?.ipPrefixLen ?? 0,
    IPv6Gateway: bridge?.ipv6Gateway ?? '',
    MacAddress: bridge?.macAddress ?? '',
    Networks: Object.fromEntries(endpoints.map(([name, endpoint]) => [name, renderEndpoint(endpoint, api)])),
  }
}

export function renderEndpoint(endpoint: EndpointRecord, api: number): unknown {
  return {
    IPAMConfig: null,
    Links: null,
    Aliases: endpoint.aliases.length > 0 ? endpoint.aliases : null,
    MacAddress: endpoint.macAddress,
    DriverOpts: null,
    ...(api >= 48 ? { GwPriority: 0 } : {}),
    NetworkID: endpoint.networkId,
    EndpointID: endpoint.endpointId,
    Gateway: endpoint.gateway,
    IPAddress: endpoint.ipAddress,
    IPPrefixLen: endpoint.ipPrefixLen,
    IPv6Gateway: endpoint.ipv6Gateway,
    GlobalIPv6Address: endpoint.globalIPv6Address,
    GlobalIPv6PrefixLen: endpoint.globalIPv6PrefixLen,
    ...(api >= 44 ? { DNSNames: null } : {}),
  }
}

function isEmpty(map: object): boolean {
  return Object.keys(map).length === 0
}

function orNull<T>(list: T[]): T[] | null {
  return list.length > 0 ? list : null
}
