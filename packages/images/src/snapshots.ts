/**
 * Writable layers: `snapshots/<key>/` with `upper/` and `work/` for overlay, and a record of what lies below. A
 * snapshot that is being made is in the temporary directory; one that is being removed, in the trash.
 */
import { randomUUID } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { StoreDirectories } from './directories.ts'
import type { Snapshot } from './image-store.ts'

export interface SnapshotRecord {
  schema: 1
  imageId: string
  /** Layers of the image, lowest first. */
  chainIds: string[]
  /** Directories above them, top first. */
  lowerExtra: string[]
}

export class Snapshots {
  readonly #directories: StoreDirectories

  constructor(directories: StoreDirectories) {
    this.#directories = directories
  }

  /**
   * No sync: after a power failure the container that it was made for is gone too. Should its record be torn then,
   * `record` says so, and the snapshot can be removed.
   */
  create(key: string, record: SnapshotRecord, owner: { uid: number; gid: number }): void {
    const target = this.directory(key)
    if (existsSync(target)) throw new HoldfastError('HF_INTERNAL', `the snapshot ${key} exists already`)
    const directory = join(this.#directories.temporary, randomUUID())
    mkdirSync(directory, { mode: 0o700 })
    try {
      fill(directory, record, owner)
      renameSync(directory, target)
    } catch (error) {
      renameSync(directory, join(this.#directories.trash, randomUUID()))
      throw error
    }
  }

  /** Throws HF_INTERNAL where there is none, or where its record is damaged. */
  record(key: string): SnapshotRecord {
    let text
    try {
      text = readFileSync(join(this.directory(key), 'snapshot.json'), 'utf8')
    } catch (cause) {
      if (!hasCode(cause, 'ENOENT')) throw cause
      throw new HoldfastError('HF_INTERNAL', `there is no snapshot ${key}`, { cause })
    }
    try {
      const record = JSON.parse(text) as SnapshotRecord
      if (record.schema === 1) return record
    } catch (cause) {
      throw new HoldfastError('HF_INTERNAL', `the record of snapshot ${key} is damaged`, { cause })
    }
    throw new HoldfastError('HF_INTERNAL', `the record of snapshot ${key} is of another version`)
  }

  /** What overlay mounts; `diff` names a layer's directory. */
  get(key: string, diff: (chainId: string) => string): Snapshot {
    const { chainIds, lowerExtra } = this.record(key)
    const directory = this.directory(key)
    const lower = [...lowerExtra, ...chainIds.map(diff).reverse()]
    return {
      lower: lower.length > 0 ? lower : [join(directory, 'empty')],
      upper: join(directory, 'upper'),
      work: join(directory, 'work'),
    }
  }

  list(): string[] {
    return readdirSync(this.#directories.snapshots)
  }

  /** Moves it to the trash: its name is free at once. False where there is none. */
  discard(key: string): boolean {
    try {
      renameSync(this.directory(key), join(this.#directories.trash, randomUUID()))
      return true
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  directory(key: string): string {
    // A key is a container's id; as a file name it must not lead elsewhere.
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(key))
      throw new HoldfastError('HF_BAD_REQUEST', `${JSON.stringify(key)} can't name a snapshot`, {
        details: { field: 'key' },
      })
    return join(this.#directories.snapshots, key)
  }
}

function fill(directory: string, record: SnapshotRecord, owner: { uid: number; gid: number }): void {
  for (const name of ['upper', 'work']) mkdirSync(join(directory, name), { mode: 0o755 })
  // Overlay shows the upper root's owner and mode as those of the container's "/". The umask may have cut the mode.
  chmodSync(join(directory, 'upper'), 0o755)
  chownSync(join(directory, 'upper'), owner.uid, owner.gid)
  chownSync(join(directory, 'work'), owner.uid, owner.gid)
  // Overlay wants something below, and an image may have no layers.
  if (record.chainIds.length + record.lowerExtra.length === 0)
    mkdirSync(join(directory, 'empty'), { mode: 0o755 })
  writeFileSync(join(directory, 'snapshot.json'), JSON.stringify(record), { mode: 0o600 })
}
