import type { ContainerConfig, HostConfig, NetworkingConfig } from './container-config.ts'

/** A container as the engine knows it; `inspect` and `list` are drawn from it. Times are RFC 3339, '' for never. */
export interface ContainerRecord {
  /** 64 hex digits. */
  id: string
  /** Without the leading slash. */
  name: string
  created: string
  config: ContainerConfig
  hostConfig: HostConfig
  networking: NetworkingConfig
  /** The image's id (`sha256:…`); `config.Image` is what the user wrote. */
  imageId: string
  /** What runs: entrypoint and command, merged with the image's. */
  path: string
  args: string[]
  state: ContainerState
  networks: Record<string, EndpointRecord>
  mounts: MountPoint[]
  /** Host paths. */
  logPath: string
  resolvConfPath: string
  hostnamePath: string
  hostsPath: string
  /** The id range of its user namespace; null with the host's. */
  idRange: { start: number; size: number } | null
  restartCount: number
  execIds: string[]
  /** Overlay directories, for GraphDriver in inspect. */
  rootfs: { lower: string[]; upper: string; work: string } | null
}

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

export interface ContainerState {
  status: ContainerStatus
  pid: number
  exitCode: number
  error: string
  oomKilled: boolean
  startedAt: string
  finishedAt: string
}

export interface EndpointRecord {
  networkId: string
  endpointId: string
  gateway: string
  ipAddress: string
  ipPrefixLen: number
  ipv6Gateway: string
  globalIPv6Address: string
  globalIPv6PrefixLen: number
  macAddress: string
  aliases: string[]
  /** `80/tcp` → where it is published; null: exposed only. */
  ports: Record<string, { HostIp: string; HostPort: string }[] | null>
}

export interface MountPoint {
  Type: 'bind' | 'volume' | 'tmpfs'
  Name?: string
  Source: string
  Destination: string
  Driver?: string
  Mode: string
  RW: boolean
  Propagation: string
  /** Not Docker's, and not shown: the part of the volume that is mounted. */
  subpath?: string
}

/** An exec, as the engine remembers it. */
export interface ExecRecord {
  id: string
  containerId: string
  running: boolean
  exitCode: number | null
  pid: number
  tty: boolean
  openStdin: boolean
  openStdout: boolean
  openStderr: boolean
  args: string[]
  user: string
  privileged: boolean
  /** As Docker writes them; empty for its default. */
  detachKeys: string
}
