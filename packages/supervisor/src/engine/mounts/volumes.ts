/** Volumes: directories under the data root that live longer than the containers that use them. */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { nameDiskFull } from '@holdfast/errors'
import type { VolumeRecord } from '../engine.ts'
import type { EventBus } from '../events/event-bus.ts'
import { newId } from '../names.ts'
import { nowText } from '../time.ts'

/** The label by which Docker marks a volume that nobody named. */
export const anonymousLabel = 'com.docker.volume.anonymous'

/** Of directories that a removal left behind when the engine was killed. No volume's name begins like this. */
const doomedPrefix = '.removing-'

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
    removeDoomed(directory)
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

  /** The volume of this name, made where there is none; `''` makes one without a name of the user's. */
  ensure(wanted: string, labels: Record<string, string>): { volume: VolumeRecord; made: boolean } {
    const existing = this.#volumes.get(wanted)
    if (existing) return { volume: existing, made: false }
    const name = wanted || newId()
    const directory = join(this.#directory, name)
    const isNew = !existsSync(directory)
    try {
      return { volume: this.#make(name, wanted ? labels : { ...labels, [anonymousLabel]: '' }), made: true }
    } catch (error) {
      if (isNew) rmSync(directory, { recursive: true, force: true })
      throw nameDiskFull(error)
    }
  }

  #make(name: string, labels: Record<string, string>): VolumeRecord {
    const mountpoint = join(this.#directory, name, '_data')
    mkdirSync(mountpoint, { recursive: true })
    chmodSync(mountpoint, 0o755) // any user of the container may enter; on the host the data root shuts others out
    const volume: VolumeRecord = {
      name,
      mountpoint,
      created: nowText(),
      labels,
    }
    this.#database
      .prepare('INSERT OR REPLACE INTO volumes (name, volume) VALUES (?, ?)')
      .run(name, JSON.stringify(volume))
    this.#volumes.set(name, volume)
    this.#events.publish('volume', 'create', name, { driver: 'local' })
    return volume
  }

  /** Its content goes too. Idempotent. */
  async remove(name: string): Promise<void> {
    if (!this.#volumes.delete(name)) return
    this.#database.prepare('DELETE FROM volumes WHERE name = ?').run(name)
    // Renamed first: a new volume of the name must not lose what is put into it while the old one goes.
    const doomed = join(this.#directory, `${doomedPrefix}${newId()}`)
    const directory = join(this.#directory, name)
    if (existsSync(directory)) renameSync(directory, doomed)
    await rm(doomed, { recursive: true, force: true })
    this.#events.publish('volume', 'destroy', name, { driver: 'local' })
  }
}

function removeDoomed(directory: string): void {
  if (!existsSync(directory)) return
  for (const name of readdirSync(directory)) {
    if (name.startsWith(doomedPrefix)) rmSync(join(directory, name), { recursive: true, force: true })
  }
}
