import type { OciResources } from '@holdfast/plan'
import type { NamespaceType } from '@holdfast/protocol'
import type { ContainerConfig, HostConfig } from '../engine/container-config.ts'

/** Everything that a container's OCI configuration is made from: asked for, resolved, nothing left to look up. */
export interface SpecInput {
  /** 64 hex digits. */
  id: string
  /** Merged with the image's: Env and WorkingDir as they apply. */
  config: ContainerConfig
  hostConfig: HostConfig
  /** Entrypoint and command. */
  args: string[]
  /** Looked up in the container's own passwd and group files. `groups`: supplementary ones, GroupAdd's included. */
  user: { uid: number; gid: number; groups: number[]; home: string }
  /** The host's ids 0… of the container's user namespace, own or joined; null with the host's. */
  idRange: { start: number; size: number } | null
  mounts: SpecMount[]
  /** Host paths of the files that lie in /etc; '' for none. */
  files: { hosts: string; hostname: string; resolvConf: string }
  /** Per type: one of its own, the host's, or one by path. */
  namespaces: Record<NamespaceType, 'new' | 'host' | { path: string }>
  /** `own`: a tmpfs; `none`: `--ipc none`; a path: the /dev/shm that goes with a shared ipc namespace. */
  shm: 'own' | 'none' | { source: string }
  hostname: string
  domainname: string
  /** Of `--device`, or all of the host's when privileged: `resolveDevices` finds them. */
  devices: SpecDevice[]
  /** `resolveBlockIo` looks the devices up. */
  blockIO: OciResources['blockIO']
  host: SpecHost
}

export type SpecMount =
  | {
      type: 'bind'
      /** On the host: of a bind, or of a volume's directory. */
      source: string
      /** What of it is mounted, relative to it; '' for all. */
      subdir: string
      destination: string
      readonly: boolean
      /** Read-only for what is mounted beneath the source too. */
      recursiveReadonly: boolean
      recursive: boolean
      /** `rprivate`, … */
      propagation: string
    }
  | {
      type: 'tmpfs'
      destination: string
      readonly: boolean
      /** mount(8)'s words. */
      options: string[]
    }

export interface SpecDevice {
  /** In the container. */
  path: string
  type: 'b' | 'c'
  major: number
  minor: number
  /** Permission bits. */
  fileMode: number
  uid: number
  gid: number
  /** For the device cgroup: some of `rwm`. */
  access: string
}

/** What the policy must know of the machine. `readSpecHost` finds it out. */
export interface SpecHost {
  architecture: 'x86_64' | 'aarch64'
  cgroupVersion: 1 | 2
  /** Names of the capabilities that can be granted. */
  capabilities: string[]
  cpus: number
  /** CPUs and memory nodes that a cpuset may name, as the kernel lists them: `0-3`; '' where it does not say. */
  cpuset: { cpus: string; mems: string }
  /** Whether the kernel counts swap, so that memory and swap can be limited together. */
  swapLimit: boolean
  /** `[6, 1]` */
  kernel: [major: number, minor: number]
  /** /sys/devices/system/cpu/cpuN/thermal_throttle, where they exist: a side channel to other tenants. */
  thermalThrottle: string[]
}
