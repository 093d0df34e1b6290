/**
 * What the API layer may ask of the engine. The API knows HTTP and Docker's JSON; the engine knows containers.
 * Every method throws HoldfastError (or SyscallError): the API maps codes to statuses.
 */
import type { ContainerRecord, ExecRecord } from './container-record.ts'
import type { ContainerConfig, HostConfig, NetworkingConfig } from './container-config.ts'
import type { EngineEvent, EventFilter } from './events/events.ts'
import type { ImageStore } from '@holdfast/images'

/**
 * What can be asked of an engine. A container is named by its name, its id, or the beginning of an id that no other
 * has; HF_CONTAINER_NOT_FOUND where there is none.
 */
export interface Engine {
  readonly instance: string
  readonly images: ImageStore
  info(): Promise<EngineInfo>

  /** `name` without the leading slash; undefined: one is made up. Docker's `run` of a missing image: HF_IMAGE_NOT_FOUND. */
  create(
    name: string | undefined,
    config: ContainerConfig,
    host: HostConfig,
    networking: NetworkingConfig,
  ): Promise<{ id: string; warnings: string[] }>
  /** false when it was running already (HTTP 304). */
  start(ref: string): Promise<boolean>
  /** false when it was not running (304). `timeout` in seconds, -1: wait for ever; undefined: the container's own. */
  stop(ref: string, options: { timeout?: number; signal?: string }): Promise<boolean>
  restart(ref: string, options: { timeout?: number; signal?: string }): Promise<void>
  kill(ref: string, signal: string): Promise<void>
  pause(ref: string): Promise<void>
  unpause(ref: string): Promise<void>
  rename(ref: string, name: string): Promise<void>
  remove(ref: string, options: { force: boolean; volumes: boolean }): Promise<void>
  /**
   * Resolved names first: throws HF_CONTAINER_NOT_FOUND at once. The inner promise settles when the condition holds.
   * `removed` also settles with the last exit code when the container is gone.
   */
  wait(
    ref: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    signal: AbortSignal,
  ): Promise<{ exit: Promise<{ statusCode: number; error?: string }> }>
  /** By full id, unambiguous id prefix, or name (with or without the leading slash). */
  get(ref: string): ContainerRecord
  /** All records, newest first. */
  list(): ContainerRecord[]
  /** Bytes written by the container, and bytes of its whole root (`size=1`). */
  sizes(id: string): Promise<{ rw: number; rootFs: number }>

  /** Works on a container that is not started yet too: output then comes from its start. */
  attach(ref: string, options: AttachOptions): Promise<AttachSession>
  resize(ref: string, size: { rows: number; columns: number }): Promise<void>
  /** Host pids, in the container's order. */
  processes(ref: string): Promise<number[]>
  /** Ends by itself, or when `signal` aborts (follow). */
  logs(ref: string, options: LogOptions): Promise<LogStream>

  /** One is about to be created, while what it is to be is still read. */
  expectExec(ref: string): void
  execCreate(ref: string, options: ExecOptions): Promise<string>
  execStart(execId: string, options: ExecStartOptions): Promise<AttachSession | undefined>
  execGet(execId: string): Promise<ExecRecord>
  execResize(execId: string, size: { rows: number; columns: number }): Promise<void>

  /** Events since `since` from memory (the last 256 at least), then live ones until `signal` aborts. */
  events(filter: EventFilter, signal: AbortSignal): AsyncIterable<EngineEvent>
  /** An event that only the API can see: a table of processes was shown, a client left by its detach keys. */
  announce(ref: string, action: 'top' | 'detach' | 'exec_detach', attributes?: Record<string, string>): void
  /** The unused ones of a kind were removed, which had so many bytes. */
  announcePrune(type: EngineEvent['Type'], reclaimed: number): void
  /** Namespaces of every container, for `hold ns ls` and GET /holdfast/namespaces. */
  namespaces(): Promise<NamespaceReport[]>
  /** Namespaces that have names, with or without a process in them. */
  namedNamespaces(): NamedNamespace[]
  /** `owner`: the name of the user namespace that it shall belong to, '' for the host's. Throws HF_NAME_IN_USE. */
  createNamespace(type: string, name: string, owner: string): Promise<NamedNamespace>
  /** Throws HF_NAMESPACE_NOT_FOUND, and HF_CONTAINER_STATE while a container or a namespace needs it. */
  removeNamespace(type: string, name: string): void
  /** The stored OCI config and rootfs of a container, for `hold explain`. */
  explain(ref: string): Promise<{ config: unknown; spec: unknown }>
  /** The networks that there are: `bridge`, `host` and `none`; their ids are those of `EndpointRecord.networkId`. */
  networks(): NetworkRecord[]
  /** Named and anonymous volumes. */
  volumes(): VolumeRecord[]
  /** The volume of this name, made where there is none; '' makes up a name. */
  createVolume(name: string, labels: Record<string, string>): Promise<VolumeRecord>
  /** With its content. Throws HF_VOLUME_NOT_FOUND (not with `force`) and HF_VOLUME_IN_USE. */
  removeVolume(name: string, options: { force: boolean }): Promise<void>
  /** Remove the image unless a container uses it (HF_IMAGE_IN_USE); emits events. */
  removeImage(ref: string, options: { force: boolean; noPrune: boolean }): Promise<ImageDeletion[]>
}

/** What `docker rmi` prints. */
export type ImageDeletion = { Untagged: string } | { Deleted: string }

/** What a client wants of a container's streams. */
export interface AttachOptions {
  stdin: boolean
  stdout: boolean
  stderr: boolean
  /** Replay the log before going on live. */
  logs: boolean
  /** False: only what `logs` gives. */
  stream: boolean
}

/** An attached client. Output keeps its order; a chunk says which stream it is of. */
export interface AttachSession {
  readonly tty: boolean
  output: AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Buffer }>
  /** Resolves when the shim has taken the chunk: await it before the next one. */
  write(data: Buffer): Promise<void>
  /** End of input. */
  end(): void
  /** Detach: the container goes on. */
  close(): void
}

/** Which part of a log. */
export interface LogOptions {
  stdout: boolean
  stderr: boolean
  follow: boolean
  /** Nanoseconds since the epoch. */
  since?: bigint
  until?: bigint
  /** Lines, -1 for all. */
  tail: number
  signal: AbortSignal
}

/** Entry by entry, or (fast: no object for each line) as the bytes that Docker's logs endpoint sends. Use one of the two. */
export interface FrameOptions {
  /** Each line begins with its time. */
  timestamps: boolean
  /** What the log driver was told to add to each line, and a blank, before the text. */
  details?: boolean
  /** With Docker's stream headers. */
  multiplexed: boolean
}

/** A log that is being read. */
export interface LogStream extends AsyncIterable<LogEntry> {
  /** `multiplexed`: each entry with Docker's 8-byte stream header; else raw, as for a container with a terminal. */
  frames(options: FrameOptions): AsyncIterable<Buffer>
}

/** One entry of a log. */
export interface LogEntry {
  stream: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds, as the log has it. */
  time: string
  /** With its line end. */
  data: Buffer
}

/** One more process in a container. */
export interface ExecOptions {
  args: string[]
  env: string[]
  user: string
  workingDir: string
  tty: boolean
  attachStdin: boolean
  attachStdout: boolean
  attachStderr: boolean
  privileged: boolean
  /** `ctrl-p,ctrl-q`, for whoever looks for them in the input; '' for Docker's. */
  detachKeys: string
  consoleSize?: [number, number]
}

/** How an exec is started. */
export interface ExecStartOptions {
  detach: boolean
  tty: boolean
  consoleSize?: [number, number]
  /** Called when nothing but the launch itself can fail any more. */
  accepted?: () => void
}

/** What `docker info` says. */
export interface EngineInfo {
  id: string
  version: string
  containers: { total: number; running: number; paused: number; stopped: number }
  images: number
  dataRoot: string
  cgroupVersion: 1 | 2
  warnings: string[]
}

/** A network, as `docker network inspect` shows it. */
export interface NetworkRecord {
  /** 64 hex digits, the same for the life of the instance. */
  id: string
  name: string
  driver: 'bridge' | 'host' | 'null'
  /** RFC 3339. */
  created: string
  enableIPv6: boolean
  subnets: { subnet: string; gateway: string }[]
  /** `com.docker.network.bridge.name` and its like. */
  options: Record<string, string>
}

/** A named volume. */
export interface VolumeRecord {
  name: string
  /** Host path of its data. */
  mountpoint: string
  created: string
  labels: Record<string, string>
}

/** One namespace of one container, for `hold ns ls`. */
export interface NamespaceReport {
  container: { id: string; name: string }
  type: string
  ino: number
  /** `new`, `host`, or the name or id of the container it is shared with, or a path. */
  origin: string
  sharedWith: string[]
  pids: number[]
  /** What keeps it alive: `init 1234`, `shim 1200 fd 17`, `file /run/…`. */
  heldBy: string[]
}

/** A namespace with a name, which no process needs to be in. */
export interface NamedNamespace {
  type: string
  name: string
  /** The file that it is mounted on. */
  path: string
  ino: number
  /** The named user namespace that has the rights over it; `host` for every other. */
  owner: string
  ownerIno: number
}
