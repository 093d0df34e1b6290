import { arch, availableParallelism, hostname, release, totalmem } from 'node:os'
import { readFile } from 'node:fs/promises'
import { offeredVersion, oldestVersion } from '../api-version.ts'
import { renderImageSummary } from '../render/image.ts'
import { renderSummary } from '../render/container-summary.ts'
import { renderVolume } from '../render/volume.ts'
import type { Call, Route } from '../route.ts'

export const systemRoutes: Route[] = [
  { method: 'HEAD', path: '/_ping', handle: ping },
  { method: 'GET', path: '/_ping', handle: ping },
  { method: 'GET', path: '/version', handle: version },
  { method: 'GET', path: '/info', handle: info },
  { method: 'GET', path: '/system/df', since: 25, handle: diskUsage },
]

function ping(call: Call): void {
  call.sendText(200, 'OK', {
    // 1: docker build sends its context here rather than look for BuildKit.
    'Builder-Version': '1',
    Swarm: 'inactive',
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    Pragma: 'no-cache',
  })
}

/** The word Go has for this processor. */
function goArch(): string {
  const names: Record<string, string> = { x64: 'amd64', ia32: '386' }
  return names[arch()] ?? arch()
}

function version(call: Call): void {
  const about = {
    ApiVersion: offeredVersion,
    MinAPIVersion: oldestVersion,
    GitCommit: '',
    GoVersion: '',
    Os: 'linux',
    Arch: goArch(),
    KernelVersion: release(),
    BuildTime: '',
  }
  const { ApiVersion, Arch, BuildTime, GitCommit, GoVersion, KernelVersion, MinAPIVersion, Os } = about
  call.send(200, {
    Platform: { Name: 'Holdfast' },
    Components: [
      {
        Name: 'Engine',
        Version: call.release,
        Details: { ApiVersion, Arch, BuildTime, Experimental: 'false', GitCommit, GoVersion, KernelVersion, MinAPIVersion, Os },
      },
      { Name: 'Node.js', Version: process.versions.node, Details: { V8: process.versions.v8, UV: process.versions.uv } },
    ],
    Version: call.release,
    ...about,
  })
}

async function info(call: Call): Promise<void> {
  const engine = await call.engine.info()
  const { containers } = engine
  call.send(200, {
    ID: engine.id,
    Containers: containers.total,
    ContainersRunning: containers.running,
    ContainersPaused: containers.paused,
    ContainersStopped: containers.stopped,
    Images: engine.images,
    Driver: 'overlay2',
    DriverStatus: [],
    Plugins: { Volume: ['local'], Network: ['bridge', 'host', 'null'], Authorization: null, Log: ['json-file'] },
    MemoryLimit: true,
    SwapLimit: true,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    ...(call.api < 42 ? { KernelMemory: false, KernelMemoryTCP: false } : {}),
    OomKillDisable: engine.cgroupVersion === 1,
    IPv4Forwarding: true,
    BridgeNfIptables: false,
    BridgeNfIp6tables: false,
    Debug: false,
    NFd: -1,
    NGoroutines: -1,
    SystemTime: new Date().toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: String(engine.cgroupVersion),
    NEventsListener: 0,
    KernelVersion: release(),
    OperatingSystem: await osRelease('PRETTY_NAME'),
    OSVersion: await osRelease('VERSION_ID'),
    OSType: 'linux',
    Architecture: arch() === 'x64' ? 'x86_64' : arch() === 'arm64' ? 'aarch64' : arch(),
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: {
      ...(call.api < 49
        ? { AllowNondistributableArtifactsCIDRs: [], AllowNondistributableArtifactsHostnames: [] }
        : {}),
      InsecureRegistryCIDRs: [],
      IndexConfigs: {},
      Mirrors: [],
    },
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    GenericResources: null,
    DockerRootDir: engine.dataRoot,
    HttpProxy: '',
    HttpsProxy: '',
    NoProxy: '',
    Name: hostname(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: engine.version,
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
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: 'holdfast-launcher',
    ContainerdCommit: { ID: '', Expected: '' },
    RuncCommit: { ID: '', Expected: '' },
    InitCommit: { ID: '', Expected: '' },
    SecurityOptions: ['name=seccomp,profile=builtin', 'name=userns', 'name=cgroupns'],
    ...(call.api >= 44 ? { CDISpecDirs: [] } : {}),
    Warnings: engine.warnings.length > 0 ? engine.warnings : null,
  })
}

/** '' where the host has no such file or no such field. */
async function osRelease(field: string): Promise<string> {
  const file = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const value = file.split('\n').find((line) => line.startsWith(`${field}=`))
  return (value?.slice(field.length + 1) ?? '').replace(/^"|"$/g, '')
}

async function diskUsage(call: Call): Promise<void> {
  const { engine, api } = call
  const images = engine.images.list()
  const records = engine.list()
  const now = Date.now()
  const containers = await Promise.all(
    records.map(async (record) =>
      renderSummary(record, { api, now, imageLabels: {}, sizes: await engine.sizes(record.id) }),
    ),
  )
  const users = (volume: string) =>
    records.filter((record) => record.mounts.some((mount) => mount.Name === volume)).length
  call.send(200, {
    LayersSize: images.reduce((sum, image) => sum + image.size, 0),
    Images: images.map((image) =>
      renderImageSummary(image, api, records.filter((record) => record.imageId === image.id).length),
    ),
    Containers: containers,
    Volumes: engine.volumes().map((volume) => renderVolume(volume, users(volume.name))),
    BuildCache: [],
    BuilderSize: 0,
  })
}
