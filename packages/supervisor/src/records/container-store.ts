import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { existsSync, readdirSync } from 'node:fs'
import type { Attachment } from '@holdfast/network'
import type { ContainerRecord } from '../engine/container-record.ts'
import type { DiskReserve } from '../engine/disk-reserve.ts'
import { isDiskFull, nameDiskFull } from '@holdfast/errors'
import { emptyConfig, emptyHostConfig } from '../engine/empty-config.ts'
import { RecordCopies } from './record-copies.ts'

/** The parts of a record that change; the rest is written once. */
const changing = ['state', 'networks', 'restartCount', 'rootfs', 'mounts'] as const

type Changing = Pick<ContainerRecord, (typeof changing)[number]>

/** What the engine keeps of a container beyond what `inspect` shows. */
export interface Bookkeeping {
  /** What the network plugin made, until it is taken down again. */
  attachment: Attachment | null
  /** Volumes without a name of the user's, removed with `rm -v` and by --rm. */
  anonymousVolumes: string[]
}

export interface StoredContainer {
  record: ContainerRecord
  book: Bookkeeping
}

export const emptyBookkeeping: Bookkeeping = Object.freeze({
  attachment: null,
  anonymousVolumes: [],
})

/** How often it is tried to write what a full disk had no room for. */
const retryMs = 1_000

/** Containers in the database. Every method is one synchronous write of some tens of microseconds. */
export class ContainerStore {
  readonly #directory: string
  readonly #reserve: DiskReserve
  readonly #copies: RecordCopies
  readonly #onWarning: (error: unknown) => void
  /** By id: what the database had no room for. */
  readonly #unsaved = new Map<string, StoredContainer>()
  #retry: NodeJS.Timeout | undefined
  readonly #insert: StatementSync
  readonly #rename: StatementSync
  readonly #putState: StatementSync
  readonly #delete: StatementSync
  readonly #deleteState: StatementSync
  readonly #all: StatementSync
  readonly #database: DatabaseSync

  /**
   * `directory` holds one directory per container. Nothing but an insert and a new name fails for want of room.
   * `onWarning`: the copy of a record could not be written, or a state has to wait.
   */
  constructor(
    database: DatabaseSync,
    directory: string,
    options: { reserve: DiskReserve; onWarning: (error: unknown) => void },
  ) {
    this.#database = database
    this.#directory = directory
    this.#reserve = options.reserve
    this.#onWarning = options.onWarning
    this.#copies = new RecordCopies(directory, options.onWarning)
    this.#insert = database.prepare('INSERT INTO containers (id, name, spec) VALUES (?, ?, ?)')
    this.#rename = database.prepare('UPDATE containers SET name = ? WHERE id = ?')
    this.#putState = database.prepare('INSERT OR REPLACE INTO states (id, state) VALUES (?, ?)')
    this.#delete = database.prepare('DELETE FROM containers WHERE id = ?')
    this.#deleteState = database.prepare('DELETE FROM states WHERE id = ?')
    this.#all = database.prepare(
      'SELECT c.id, c.name, c.spec, s.state FROM containers c LEFT JOIN states s ON s.id = c.id ORDER BY c.seq',
    )
  }

  insert(container: StoredContainer): void {
    const spec = JSON.stringify({
      ...container.record,
      ...Object.fromEntries(changing.map((key) => [key, undefined])),
    })
    this.#transaction(() => {
      this.#insert.run(container.record.id, container.record.name, spec)
      this.#putState.run(container.record.id, stateText(container))
    })
    this.#copies.writeLater(container)
  }

  /**
   * Writes the parts that change. What a full disk has no room for is written as soon as it has: the end of a container
   * is no request that could be refused.
   */
  save(container: StoredContainer): void {
    try {
      this.#reserve.run(() => this.#putState.run(container.record.id, stateText(container)))
      this.#unsaved.delete(container.record.id)
    } catch (error) {
      if (!isDiskFull(error)) throw error
      if (this.#unsaved.size === 0) this.#onWarning(nameDiskFull(error))
      this.#unsaved.set(container.record.id, container)
      this.#retry ??= setInterval(() => this.#saveUnsaved(), retryMs).unref()
    }
  }

  #saveUnsaved(): void {
    for (const container of this.#unsaved.values()) this.save(container)
    if (this.#unsaved.size > 0) return
    clearInterval(this.#retry)
    this.#retry = undefined
  }

  rename(id: string, name: string): void {
    this.#reserve.run(() => this.#rename.run(name, id))
  }

  delete(id: string): void {
    this.#unsaved.delete(id)
    this.#copies.remove(id) // first: without its row it would bring the container back
    this.#reserve.run(() =>
      this.#transaction(() => {
        this.#delete.run(id)
        this.#deleteState.run(id)
      }),
    )
  }

  /**
   * Every container, oldest first. One whose row or file can't be read is there too, as `dead` with the reason, so
   * that it can be seen and removed; it never hides the others.
   */
  load(): StoredContainer[] {
    const found = new Map<string, StoredContainer>()
    for (const row of this.#all.iterate() as Iterable<Record<string, string | null>>) {
      const id = row['id'] ?? ''
      try {
        found.set(
          id,
          joinParts(JSON.parse(row['spec'] ?? ''), JSON.parse(row['state'] ?? ''), row['name'] ?? ''),
        )
      } catch (error) {
        found.set(
          id,
          this.#fromCopy(id, row['name'] ?? id.slice(0, 12), `its record is damaged: ${String(error)}`),
        )
      }
    }
    // Of one that was not a second old when the engine was killed.
    for (const [id, container] of found) if (!this.#copies.exists(id)) this.#copies.writeLater(container)
    if (!existsSync(this.#directory)) return [...found.values()]
    for (const id of readdirSync(this.#directory)) {
      if (!/^[0-9a-f]{64}$/.test(id) || found.has(id)) continue
      // A directory without a row: a create that was cut short has no copy yet and is nobody's; recovery removes it.
      if (!this.#copies.exists(id)) continue
      const container = this.#fromCopy(id, id.slice(0, 12), 'its record was lost')
      while ([...found.values()].some(({ record }) => record.name === container.record.name)) {
        container.record = { ...container.record, name: `${container.record.name}_${id.slice(0, 6)}` }
      }
      found.set(id, container)
      this.insert(container)
    }
    return [...found.values()]
  }

  /** Writes what is still due; the database is its opener's to close. */
  close(): void {
    this.#saveUnsaved()
    clearInterval(this.#retry)
    this.#copies.writeNow()
  }

  fact(name: string): string | undefined {
    return this.#database.prepare('SELECT value FROM facts WHERE name = ?').get(name)?.['value'] as
      | string
      | undefined
  }

  setFact(name: string, value: string): void {
    this.#database.prepare('INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)').run(name, value)
  }

  #fromCopy(id: string, name: string, reason: string): StoredContainer {
    const copy = this.#copies.read(id)
    const record = copy?.record ?? unreadable(id, name)
    const state = { ...record.state, status: 'dead' as const, pid: 0, error: reason }
    return { record: { ...record, state }, book: copy?.book ?? emptyBookkeeping }
  }

  #transaction(action: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      action()
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK') // a full disk has ended it already
      throw error
    }
  }
}

function stateText({ record, book }: StoredContainer): string {
  const { state, networks, restartCount, rootfs, mounts } = record
  return JSON.stringify({ state, networks, restartCount, rootfs, mounts, book })
}

function joinParts(spec: unknown, state: unknown, name: string): StoredContainer {
  const fixed = spec as ContainerRecord
  const { book, ...rest } = state as Changing & { book: Bookkeeping }
  if (
    typeof fixed.id !== 'string' ||
    typeof fixed.config !== 'object' ||
    typeof rest.state?.status !== 'string'
  ) {
    throw new TypeError('fields are missing')
  }
  return { record: { ...fixed, ...rest, name, execIds: [] }, book: { ...emptyBookkeeping, ...book } }
}

/** What can still be said of a container of which nothing is left but its id. */
function unreadable(id: string, name: string): ContainerRecord {
  return {
    id,
    name,
    created: '',
    config: emptyConfig(),
    hostConfig: emptyHostConfig(),
    networking: { EndpointsConfig: {} },
    imageId: '',
    path: '',
    args: [],
    state: {
      status: 'dead',
      pid: 0,
      exitCode: 255,
      error: '',
      oomKilled: false,
      startedAt: '',
      finishedAt: '',
    },
    networks: {},
    mounts: [],
    logPath: '',
    resolvConfPath: '',
    hostnamePath: '',
    hostsPath: '',
    idRange: null,
    restartCount: 0,
    execIds: [],
    rootfs: null,
  }
}
