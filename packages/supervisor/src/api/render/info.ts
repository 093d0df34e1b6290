import type { EngineInfo } from '../../engine/engine.ts'
import type { HostReport } from '../host-report.ts'

/** `GET /info` in the shape of the version asked for. */
export function renderInfo(engine: EngineInfo, host: HostReport, api: number): object {
  const { containers } = engine
  return {
    ID: engine.id,
    Containers: containers.total,
    ContainersRunning: containers.running,
    ContainersPaused: containers.paused,
    ContainersStopped: containers.stopped,
    Images: engine.images,
    ...limits(engine, host, api),
    ...machine(host, api),
    ...registries(api),
    ...program(engine),
    Driver: 'overlay2',
    DriverStatus: [],
    Plugins: {
      Volume: ['local'],
      Network: ['bridge', 'host', 'null'],
      Authorization: null,
      Log: ['json-file'],
    },
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: String(engine.cgroupVersion),
    Runtimes: { holdfast: { path: 'holdfast-shim' } },
    DefaultRuntime: 'holdfast',
    Swarm: {
      NodeID: '',
      NodeAddr: '',
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      Error: '',
      RemoteManagers: null,
    },
    SecurityOptions: ['name=seccomp,profile=builtin', 'name=userns', 'name=cgroupns'],
    ...(api >= 44 ? { CDISpecDirs: [] } : {}),
    Warnings: engine.warnings.length > 0 ? engine.warnings : null,
  }
}

function limits(engine: EngineInfo, { controllers, swapLimit }: HostReport, api: number): object {
  const cpu = controllers.has('cpu')
  return {
    MemoryLimit: controllers.has('memory'),
    SwapLimit: swapLimit,
    CpuCfsPeriod: cpu,
    CpuCfsQuota: cpu,
    CPUShares: cpu,
    CPUSet: controllers.has('cpuset'),
    PidsLimit: controllers.has('pids'),
    OomKillDisable: engine.cgroupVersion === 1 && controllers.has('memory'),
    // Never supported here; later versions of the API don't have them.
    ...(api < 42 ? { KernelMemory: false, KernelMemoryTCP: false } : {}),
  }
}

function machine(host: HostReport, api: number): object {
  return {
    IPv4Forwarding: host.ipv4Forwarding,
    ...(api < 50
      ? { BridgeNfIptables: host.bridgeNfIptables, BridgeNfIp6tables: host.bridgeNfIp6tables }
      : { FirewallBackend: { Driver: 'nftables' } }),
    KernelVersion: host.kernelVersion,
    OperatingSystem: host.operatingSystem,
    OSVersion: host.osVersion,
    OSType: 'linux',
    Architecture: host.architecture,
    NCPU: host.cpus,
    MemTotal: host.memory,
    Name: host.name,
    GenericResources: null,
  }
}

function registries(api: number): object {
  return {
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: {
      ...(api < 49
        ? { AllowNondistributableArtifactsCIDRs: [], AllowNondistributableArtifactsHostnames: [] }
        : {}),
      InsecureRegistryCIDRs: [],
      IndexConfigs: {},
      Mirrors: [],
    },
    HttpProxy: '',
    HttpsProxy: '',
    NoProxy: '',
  }
}

/** -1: not counted, as dockerd has it outside of debug mode. */
function program(engine: EngineInfo): object {
  return {
    ServerVersion: engine.version,
    DockerRootDir: engine.dataRoot,
    SystemTime: new Date().toISOString(),
    Debug: false,
    NFd: -1,
    NGoroutines: -1,
    NEventsListener: 0,
    Labels: [],
    ExperimentalBuild: false,
    // Containers outlive the engine.
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: 'holdfast-launcher',
    ContainerdCommit: { ID: '', Expected: '' },
    RuncCommit: { ID: '', Expected: '' },
    InitCommit: { ID: '', Expected: '' },
  }
}
