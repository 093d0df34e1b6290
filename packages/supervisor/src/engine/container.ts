import { Mutex } from '@holdfast/core'
import type { NamespaceHandle, NamespaceType } from '@holdfast/protocol'
import type { Bookkeeping, ContainerStore, StoredContainer } from '../records/container-store.ts'
import type { ShimClient } from '../shims/shim-client.ts'
import type { ContainerRecord, ContainerState } from './container-record.ts'
import type { ExecInstance } from './exec.ts'
import { ExecsAhead } from './execs-ahead.ts'
import type { PendingAttachment } from './attach/pending-attachment.ts'
import { isRunning, Waits } from './waits.ts'

/** The shim of a container that was started, and what it said of itself. */
export interface LiveShim {
  client: ShimClient
  /** Of the shim: descriptors that it holds can be reached through it. */
  pid: number
  keeperPid: number
  /** Host pid of the container's init. */
  initPid: number
  namespaces: Partial<Record<NamespaceType, NamespaceHandle>>
}

/** A container in the engine's memory. Its record is replaced, never changed, so that a reader keeps what it saw. */
export class Container implements StoredContainer {
  record: ContainerRecord
  book: Bookkeeping
  /** Taken by whatever changes the container's state, so that no verb sees another half done. */
  readonly lock = new Mutex()
  readonly waits = new Waits()
  readonly execs = new Map<string, ExecInstance>()
  readonly ahead = new ExecsAhead()
  /** Clients that attached before the start. */
  readonly pending = new Set<PendingAttachment>()
  shim: LiveShim | undefined
  /** Settles when a new shim has taken over from one that died, or none could. */
  adoption: Promise<void> = Promise.resolve()
  /** Resolves when the present run has ended and its log is complete; a container that doesn't run has ended. */
  ended: PromiseWithResolvers<void> = settled()
  /** The work that follows an end: network, mounts, --rm. */
  cleanup: Promise<void> = Promise.resolve()
  /** Settles when the last run's root is unmounted: its layers can't be mounted a second time before. */
  unmounted: Promise<void> = Promise.resolve()
  /** A removal is under way: a second one is refused, nothing else is begun. */
  removing = false
  /** It ends only to be started again: --rm waits for another end. */
  restarting = false
  /** It was told that its volumes and networks are in use, and not yet that they no longer are. */
  inUse: boolean
  readonly #store: ContainerStore

  constructor(stored: StoredContainer, store: ContainerStore) {
    this.record = stored.record
    this.book = stored.book
    this.inUse = isRunning(stored.record)
    this.#store = store
  }

  get id(): string {
    return this.record.id
  }

  /** Changes what is given, in memory alone: the next `update` writes it down. */
  note(rest: Partial<ContainerRecord>, book: Partial<Bookkeeping>): void {
    this.record = { ...this.record, ...rest }
    this.book = { ...this.book, ...book }
  }

  /** Changes the state, and what else is given, and writes it down. */
  update(
    state: Partial<ContainerState>,
    rest: Partial<ContainerRecord> = {},
    book: Partial<Bookkeeping> = {},
  ): void {
    this.record = { ...this.record, ...rest, state: { ...this.record.state, ...state } }
    this.book = { ...this.book, ...book }
    this.#store.save(this)
  }
}

function settled(): PromiseWithResolvers<void> {
  const settled = Promise.withResolvers<void>()
  settled.resolve()
  return settled
}
