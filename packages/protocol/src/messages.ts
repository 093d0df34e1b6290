/**
 * What supervisor and shim say to each other: WebSocket on the shim's own unix socket, `<dir>/shim.sock`.
 *
 *   supervisor                         shim
 *      │  ws /control                    │   requests, answers and events: text frames, one JSON object each
 *      │── {id:1, method:'hello', …} ───►│
 *      │◄─ {id:1, result:{…}} ───────────│
 *      │── {id:2, method:'start'} ──────►│
 *      │◄─ {event:'started', …} ─────────│   an event about a request comes before its answer
 *      │◄─ {id:2, result:{…}} ───────────│
 *
 *      │── {id:3, method:'attach', params:{channel:7, stdout:true, …}} ──►│   or exec.start with `attach`
 *      │◄─ binary: [7] [1 stdout | 2 stderr] payload ──│
 *      │── binary: [7] [0 stdin] payload ──────────────►│   without a payload: end of input
 *      │── binary: [7] [3] bytes ──────────────────────►│   and the other way: that much was taken, so more may come
 *      │◄─ binary: [7] [4] reason ──────────────────────│   ended, or lagged; from the supervisor: detached
 *
 * Channels are numbered by whoever opens them and belong to their connection. Each has a window of its own in each
 * direction: a side sends no more than the other has made room for, and so everybody can always read the connection
 * itself. Any number of control connections may be open at once. The first text frame must be `hello`.
 */
import type { ErrorJson } from '@holdfast/errors'
import type { NetworkRequests } from './network-services.ts'

/** Raised when an old and a new side could no longer talk to each other. */
export const protocolVersion = 2

/** `<dir>/shim.json`, written by the supervisor before it asks for a shim; `<dir>/config.json` is the OCI config. */
export interface ShimSpec {
  version: typeof protocolVersion
  id: string
  /** For process titles and messages. */
  name: string
  rootfs?: { kind: 'overlay'; lower: string[]; upper: string; work: string; idmap: boolean }
  log: LogSpec
  /** Keep stdin open; with `once` it is closed when the first attached client goes. Without `open`: /dev/null. */
  stdin: { open: boolean; once: boolean }
  /** A reaping PID 1. */
  init: boolean
  /** Where relative cgroup paths start. */
  cgroupParent: string
  /** Random, 32 bytes in hex: every connection must name it in the header `authorization: Bearer …`. */
  token: string
}

/** Where a container's output is written down. */
export type LogSpec =
  | { driver: 'none' }
  /** Docker's json-file format. `maxSize` in bytes (-1: unlimited), `maxFile` at least 1. */
  | { driver: 'json-file'; path: string; maxSize: number; maxFile: number }

/** As in /proc/PID/ns; namespaces(7). */
export type NamespaceType = 'cgroup' | 'ipc' | 'mnt' | 'net' | 'pid' | 'time' | 'user' | 'uts'

/** A namespace of the container: `fd` is its number in the shim's descriptor table (pidfd_getfd(2) reaches it). */
export interface NamespaceHandle {
  fd: number
  ino: number
  origin: 'new' | 'joined' | 'host'
}

/** How a process ended. */
export interface ExitRecord {
  /** 0–255; 128+n when a signal ended it; `null` where nobody saw it end. */
  exitCode: number | null
  signal: number | null
  oomKilled: boolean
  /** RFC 3339 with nanoseconds. */
  finishedAt: string
}

/** One more process in a container. */
export interface ExecSpec {
  args: string[]
  env: string[]
  /** Added to the container's own environment. */
  cwd?: string
  /** `''` for the container's user, `user[:group]` by name or number: looked up in the container. */
  user: string
  tty: boolean
  stdin: boolean
  privileged: boolean
  /** rows, columns */
  consoleSize?: [number, number]
}

/** Streams of a process, and the channel in which the caller is to have them. */
export interface ChannelStreams {
  channel: number
  stdin: boolean
  stdout: boolean
  stderr: boolean
}

/** How an exec is doing. `pid` is the host's; null before it runs and after its end. */
export interface ExecState {
  id: string
  pid: number | null
  running: boolean
  exit: ExitRecord | null
}

/** How a shim and its container are doing. */
export interface ShimState {
  id: string
  shimPid: number
  status: Status
  /** Host pid of the init; 0 before `create` and after the end. */
  pid: number
  keeperPid: number
  startedAt: string | null
  exit: ExitRecord | null
  namespaces: Partial<Record<NamespaceType, NamespaceHandle>>
  execs: ExecState[]
  /** Entries that the log is missing since its disk was full. */
  log: { dropped: number }
}

/** The states of a container; lifecycle.ts has the table. */
export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped'

/** Every request: its parameters and its result. */
export interface Requests extends NetworkRequests {
  /** First on every control connection. */
  hello: { params: { protocol: number }; result: { protocol: number; state: ShimState } }
  /** Makes everything but the program: namespaces, mounts, cgroup. On failure nothing is left. */
  create: { params: Record<string, never>; result: ShimState }
  start: { params: Record<string, never>; result: { startedAt: string } }
  /** `all`: every process of the container's cgroup. */
  kill: { params: { signal: number; all?: boolean }; result: Record<string, never> }
  pause: { params: Record<string, never>; result: Record<string, never> }
  resume: { params: Record<string, never>; result: Record<string, never> }
  resize: { params: { rows: number; columns: number }; result: Record<string, never> }
  state: { params: Record<string, never>; result: ShimState }
  /** Host pids of all processes of the container. */
  processes: { params: Record<string, never>; result: { pids: number[] } }
  /** The container's own stdio; `logs`: its log first, then on from there with no gap and no repeat. */
  attach: { params: ChannelStreams & { logs: boolean }; result: Record<string, never> }
  /**
   * An exec that is likely to be started soon: it is launched up to its door, out of sight of everybody. What fails then is
   * for `exec.start` to say. Without `spec` it is known of it only that it comes: it may be like the last. Answered when it was
   * started, or given up: after a moment, or with the container's end.
   */
  'exec.prepare': { params: { execId: string; spec?: ExecSpec }; result: Record<string, never> }
  /** With `attach` not a byte of its output is missed. */
  'exec.start': {
    params: { execId: string; spec: ExecSpec; attach?: ChannelStreams }
    result: { pid: number }
  }
  'exec.resize': { params: { execId: string; rows: number; columns: number }; result: Record<string, never> }
  'exec.kill': { params: { execId: string; signal: number }; result: Record<string, never> }
  'exec.state': { params: { execId: string }; result: ExecState }
  /** Undoes `create` (cgroup, mounts, poststop hooks); `force` kills first. The shim ends after its answer. */
  delete: { params: { force: boolean }; result: Record<string, never> }
}

/** The names of all requests. */
export type Method = keyof Requests

/** Sent on every control connection. */
export type ShimEvent =
  /** The init exists, and with it a network namespace of its own, which can be furnished while the root is made. */
  | { event: 'born'; net: NamespaceHandle }
  | { event: 'created'; pid: number }
  | { event: 'started'; startedAt: string }
  | { event: 'paused' }
  | { event: 'resumed' }
  | { event: 'oom' }
  /** Sent when the log is complete. What a client has not read by then still comes in its channel. */
  | { event: 'exited'; exit: ExitRecord }
  /** What an upstream server answered to the container, where `dns.set` asked for it; `ttl` in seconds. */
  | { event: 'names-learned'; number: number; name: string; addresses: string[]; ttl: number }
  /** After `delete`: the root's layers, and the directory's name, are free for another container. */
  | { event: 'unmounted' }
  | { event: 'exec-exited'; execId: string; exit: ExitRecord }

/** A text frame from the supervisor. `id` is the sender's, and comes back with the answer. */
export interface RequestFrame<M extends Method = Method> {
  id: number
  method: M
  params: Requests[M]['params']
}

/** The answer to the request with this `id`. */
export type ResponseFrame = { id: number; result: unknown } | { id: number; error: ErrorJson }
