import { HoldfastError } from '@holdfast/errors'
import type { ImageStore, ImageUser } from '@holdfast/images'
import { attach } from './attach/attach.ts'
import { removeCgroup } from './cgroup-tree.ts'
import type { ContainerConfig, HostConfig, NetworkingConfig } from './container-config.ts'
import { containerEvent } from './events/container-event.ts'
import { containerLogs } from './logs/container-logs.ts'
import type { ContainerRecord, ExecRecord } from './container-record.ts'
import type { EngineContext } from './context.ts'
import { createContainer } from './create.ts'
import type {
  AttachOptions,
  AttachSession,
  Engine,
  EngineInfo,
  ExecOptions,
  ExecStartOptions,
  ImageDeletion,
  LogOptions,
  LogStream,
  NamedNamespace,
  NamespaceReport,
  NetworkRecord,
  VolumeRecord,
} from './engine.ts'
import type { EngineEvent, EventFilter } from './events/events.ts'
import { execCreate, execGet, execResize, execStart, expectExec } from './exec.ts'
import { explainContainer } from './explain.ts'
import { processesOf, reportNamespaces } from './namespaces/namespace-report.ts'
import { createNamed, listNamed, removeAllNamed, removeNamed } from './namespaces/named-namespaces.ts'
import { hostWarnings } from './host-warnings.ts'
import { killContainer } from './kill.ts'
import { listNetworks } from './network/network-list.ts'
import { pauseContainer, unpauseContainer } from './pause.ts'
import { removeContainer } from './remove.ts'
import { renameContainer } from './rename.ts'
import { restartContainer } from './restart.ts'
import { askShim, checkRunning } from './shim/shim-of.ts'
import { startContainer } from './start.ts'
import { stopContainer, type StopOptions } from './stop.ts'
import { createVolume, removeVolume } from './mounts/volume-verbs.ts'
import { isRunning, type WaitCondition, type WaitResult } from './waits.ts'
import { within } from './within.ts'

/** How long the end of the engine waits for clean-ups and removals. */
const settleDeadlineMs = 5000

/** The verbs, each in a module of its own; here they are only brought together. */
export class ContainerEngine implements Engine {
  readonly instance: string
  readonly images: ImageStore
  readonly #context: EngineContext
  readonly #version: string
  readonly #closeRecords: () => void

  constructor(context: EngineContext, version: string, closeRecords: () => void) {
    this.#context = context
    this.instance = context.instance
    this.images = context.images
    this.#version = version
    this.#closeRecords = closeRecords
  }

  async info(): Promise<EngineInfo> {
    const records = this.list()
    const count = (...statuses: string[]): number =>
      records.filter(({ state }) => statuses.includes(state.status)).length
    return {
      id: this.#context.networkId.slice(0, 32),
      version: this.#version,
      containers: {
        total: records.length,
        running: count('running', 'restarting'),
        paused: count('paused'),
        stopped: count('created', 'exited', 'dead', 'removing'),
      },
      images: this.images.list().length,
      dataRoot: this.#context.paths.dataRoot,
      cgroupVersion: this.#context.host.cgroupVersion,
      warnings: hostWarnings(this.#context.host),
    }
  }

  create(
    name: string | undefined,
    config: ContainerConfig,
    host: HostConfig,
    networking: NetworkingConfig,
  ): Promise<{ id: string; warnings: string[] }> {
    return createContainer(this.#context, name, config, host, networking)
  }

  async start(ref: string): Promise<boolean> {
    return startContainer(this.#context, this.#find(ref))
  }

  async stop(ref: string, options: StopOptions): Promise<boolean> {
    return stopContainer(this.#context, this.#find(ref), options)
  }

  async restart(ref: string, options: StopOptions): Promise<void> {
    await restartContainer(this.#context, this.#find(ref), options)
  }

  async kill(ref: string, signal: string): Promise<void> {
    await killContainer(this.#context, this.#find(ref), signal)
  }

  async pause(ref: string): Promise<void> {
    await pauseContainer(this.#context, this.#find(ref))
  }

  async unpause(ref: string): Promise<void> {
    await unpauseContainer(this.#context, this.#find(ref))
  }

  async rename(ref: string, name: string): Promise<void> {
    await renameContainer(this.#context, this.#find(ref), name)
  }

  async remove(ref: string, options: { force: boolean; volumes: boolean }): Promise<void> {
    await removeContainer(this.#context, this.#find(ref), options)
  }

  async wait(
    ref: string,
    condition: WaitCondition,
    signal: AbortSignal,
  ): Promise<{ exit: Promise<WaitResult> }> {
    const container = this.#find(ref)
    return { exit: container.waits.add(condition, container.record, signal) }
  }

  get(ref: string): ContainerRecord {
    return this.#find(ref).record
  }

  list(): ContainerRecord[] {
    return this.#context.containers.list().map(({ record }) => record)
  }

  async sizes(id: string): Promise<{ rw: number; rootFs: number }> {
    const { rw, image } = await this.images.snapshotSize(this.#find(id).id)
    return { rw, rootFs: rw + image }
  }

  async attach(ref: string, options: AttachOptions): Promise<AttachSession> {
    return attach(this.#context, this.#find(ref), options)
  }

  async resize(ref: string, { rows, columns }: { rows: number; columns: number }): Promise<void> {
    const container = this.#find(ref)
    await askShim(container, 'resize', { rows, columns })
    containerEvent(this.#context, container, 'resize', { height: String(rows), width: String(columns) })
  }

  async processes(ref: string): Promise<number[]> {
    const container = this.#find(ref)
    checkRunning(container)
    return processesOf(container)
  }

  async logs(ref: string, options: LogOptions): Promise<LogStream> {
    return containerLogs(this.#find(ref), options)
  }

  expectExec(ref: string): void {
    const container = this.#context.containers.find(ref)
    if (container) expectExec(container)
  }

  async execCreate(ref: string, options: ExecOptions): Promise<string> {
    return execCreate(this.#context, this.#find(ref), options)
  }

  execStart(execId: string, options: ExecStartOptions): Promise<AttachSession | undefined> {
    return execStart(this.#context, execId, options)
  }

  async execGet(execId: string): Promise<ExecRecord> {
    return execGet(this.#context, execId)
  }

  execResize(execId: string, size: { rows: number; columns: number }): Promise<void> {
    return execResize(this.#context, execId, size)
  }

  events(filter: EventFilter, signal: AbortSignal): AsyncIterable<EngineEvent> {
    return this.#context.events.subscribe(filter, signal)
  }

  announce(ref: string, action: string, attributes: Record<string, string> = {}): void {
    containerEvent(this.#context, this.#find(ref), action, attributes)
  }

  announcePrune(type: EngineEvent['Type'], reclaimed: number): void {
    this.#context.events.publish(type, 'prune', '', { reclaimed: String(reclaimed) })
  }

  namespaces(): Promise<NamespaceReport[]> {
    return reportNamespaces(this.#context)
  }

  namedNamespaces(): NamedNamespace[] {
    return listNamed(this.#context)
  }

  createNamespace(type: string, name: string, owner: string): Promise<NamedNamespace> {
    return createNamed(this.#context, type, name, owner)
  }

  removeNamespace(type: string, name: string): void {
    removeNamed(this.#context, type, name)
  }

  async explain(ref: string): Promise<{ config: unknown; spec: unknown }> {
    return explainContainer(this.#context, this.#find(ref))
  }

  networks(): NetworkRecord[] {
    return listNetworks(this.#context)
  }

  volumes(): VolumeRecord[] {
    return this.#context.volumes.list()
  }

  async createVolume(name: string, labels: Record<string, string>): Promise<VolumeRecord> {
    return createVolume(this.#context, name, labels)
  }

  removeVolume(name: string, { force }: { force: boolean }): Promise<void> {
    return removeVolume(this.#context, name, force)
  }

  async removeImage(
    ref: string,
    { force, noPrune }: { force: boolean; noPrune: boolean },
  ): Promise<ImageDeletion[]> {
    const inUse = (imageId: string): ImageUser[] =>
      this.list()
        .filter((record) => record.imageId === imageId)
        .map((record) => ({ id: record.id, running: isRunning(record) }))
    const { untagged, deleted } = this.images.remove(ref, { force, noPrune, inUse })
    return [...untagged.map((Untagged) => ({ Untagged })), ...deleted.map((Deleted) => ({ Deleted }))]
  }

  /** Lets go of everything; the containers go on, and the next engine finds them. */
  async close(): Promise<void> {
    const context = this.#context
    context.closing = true
    // What is under way is finished where that is quick; the next engine finishes the rest.
    const settled = context.containers.list().map(async ({ cleanup, lock }) => {
      await cleanup
      await lock.run(() => {})
    })
    await within(settleDeadlineMs, 'finishing what is under way', Promise.allSettled(settled)).catch(
      (error: unknown) => context.logger.warn({ err: error }, 'ending'),
    )
    for (const { shim } of context.containers.list()) shim?.client.close()
    await within(settleDeadlineMs, 'the end of the zygote', context.zygote.close()).catch((error: unknown) =>
      context.logger.warn({ err: error }, 'ending'),
    )
    await context.network.close()
    context.images.close()
    context.idRanges.close()
    this.#closeRecords()
  }

  /** Takes the bridge, the rules and the cgroups away too. Throws HF_CONTAINER_RUNNING while a container runs. */
  async purge(): Promise<void> {
    const running = this.list().filter(isRunning)
    if (running.length > 0) {
      throw new HoldfastError('HF_CONTAINER_RUNNING', `${running.length} containers are running`, {
        hint: 'Stop them first.',
      })
    }
    const context = this.#context
    for (const container of context.containers.list()) await container.cleanup
    removeAllNamed(context)
    await context.network.remove()
    await context.zygote.close() // its warm-up has a cgroup too
    await removeCgroup(context.cgroupParent)
  }

  #find(ref: string): ReturnType<EngineContext['containers']['get']> {
    return this.#context.containers.get(ref)
  }
}
