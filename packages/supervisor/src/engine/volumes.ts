/** Volumes: directories under the data root that live longer than the containers that use them. */
import { chmodSync, mkdirSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { HoldfastError } from '@holdfast/errors'
import type { VolumeRecord } from './engine.ts'
import type { EventBus } from './event-bus.ts'
import { newId } from './names.ts'
import { nowText } from './time.ts'

/** The label by which Docker marks a volume that nobody named. */
const anonymousLabel = 'com.docker.volume.anonymous'

export class Volumes {
  readonly #database: DatabaseSync
  readonly #directory: string
  readonly #events: EventBus
  readonly #volumes = new Map<string, VolumeRecord>()

  /** A row that can't be read is skipped: its directory stays, and using the name again brings it back. */
  constructor(database: DatabaseSync, directory: string, events: EventBus) {
    this.#database = database
    this.#directory = directory
    this.#events = events
    for (const row of database.prepare('SELECT name, volume FROM volumes').all()) {
      try {
        this.#volumes.set(row['name'] as string, JSON.parse(row['volume'] as string) as VolumeRecord)
      } catch {
        continue
      }
    }
  }

  list(): VolumeRecord[] {
    return [...this.#volumes.values()]
  }

  get(name: string): VolumeRecord {
    const volume = this.#volumes.get(name)
    if (volume) return volume
    throw new HoldfastError('HF_VOLUME_NOT_FOUND', `get ${name}: no such volume`, { details: { name } })
  }

  /** The volume of this name, made where there is none; `''` makes one without a name of the user's. */
  ensure(wanted: string, labels: Record<string, string>): { volume: VolumeRecord; made: boolean } {
    const existing = this.#volumes.get(wanted)
    if (existing) return { volume: existing, made: false }
    const name = wanted || newId()
    const mountpoint = join(this.#directory, name, '_data')
    mkdirSync(mountpoint, { recursive: true })
    chmodSync(mountpoint, 0o755) // any user of the container may enter; on the host the data root shuts others out
    const volume: VolumeRecord = {
      name,
      mountpoint,
      created: nowText(),
      labels: wanted ? labels : { ...labels, [anonymousLabel]: '' },
    }
    this.#database
      .prepare('INSERT OR REPLACE INTO volumes (name, volume) VALUES (?, ?)')
      .run(name, JSON.stringify(volume))
    this.#volumes.set(name, volume)
    this.#events.publish('volume', 'create', name, { driver: 'local' })
    return { volume, made: true }
  }

  /** Its content goes too. Idempotent. */
  async remove(name: string): Promise<void> {
    if (!this.#volumes.delete(name)) return
    this.#database.prepare('DELETE FROM volumes WHERE name = ?').run(name)
    await rm(join(this.#directory, name), { recursive: true, force: true })
    this.#events.publish('volume', 'destroy', name, { driver: 'local' })
  }

  /** Whether nothing was ever put into it. */
  async isEmpty(name: string): Promise<boolean> {
    return (await readdir(this.get(name).mountpoint)).length === 0
  }
}
