/** The image store: what image-store.ts declares, over one directory that one process has open at a time. */
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import { HoldfastError, nameDiskFull } from '@holdfast/errors'
import { flock } from '@holdfast/core'
import { ContentStore } from './content.ts'
import { StoreDirectories } from './directories.ts'
import { findImage } from './names/find-image.ts'
import { ImageRecords, storedReference, type StoredImage } from './image-records.ts'
import type { Image, ImageStore, ImageStoreOptions, OpenImageStore, Snapshot } from './image-store.ts'
import { importTemplate } from './import/import.ts'
import { LayerStore, type LayerRecord } from './layers.ts'
import { hostPlatform } from './platform.ts'
import { familiarName, familiarReference, parseReference } from './names/reference.ts'
import { planRemoval } from './names/removal.ts'
import { runTask } from './task/run-task.ts'
import { Snapshots, type SnapshotRecord } from './snapshots.ts'
import type { ReadyImage, Task } from './task/task.ts'
import { Trash } from './tree/trash.ts'
import { treeSize } from './tree/tree-size.ts'

/** Makes `root` with mode 0700 where it is not there. Throws HF_STORE_LOCKED where another process has it open. */
export const openImageStore: OpenImageStore = (options) =>
  // The promise is for what a later version may have to wait for; errors become rejections either way.
  new Promise((resolve) => resolve(new Store(options)))

class Store implements ImageStore {
  readonly #options: ImageStoreOptions
  readonly #directories: StoreDirectories
  readonly #lock: number
  readonly #content: ContentStore
  readonly #layers: LayerStore
  readonly #records: ImageRecords
  readonly #snapshots: Snapshots
  readonly #trash: Trash
  /** Records of snapshots; undefined for a damaged one. */
  readonly #snapshotRecords = new Map<string, SnapshotRecord | undefined>()
  readonly #layerRecords = new Map<string, LayerRecord>()
  /** Imports and loads under way: layers without an image may be theirs. */
  #tasks = 0
  #closed = false

  constructor(options: ImageStoreOptions) {
    const { root } = options
    this.#options = options
    mkdirSync(root, { recursive: true, mode: 0o700 })
    chmodSync(root, 0o700)
    this.#lock = lock(root)
    try {
      this.#directories = new StoreDirectories(root)
      this.#directories.create()
      this.#content = new ContentStore(this.#directories)
      this.#content.recover()
      this.#layers = new LayerStore(this.#directories)
      this.#snapshots = new Snapshots(this.#directories)
      this.#trash = new Trash(this.#directories, (error) => this.#warn(error))
      this.#records = new ImageRecords(
        this.#directories,
        { content: this.#content, layers: this.#layers },
        (error) => this.#warn(error),
      )
      this.#recover()
    } catch (error) {
      closeSync(this.#lock)
      throw nameDiskFull(error, root)
    }
  }

  async import(tar: Readable, options: Parameters<ImageStore['import']>[1]): Promise<string> {
    const reference = options.reference ? taggable(options.reference) : undefined
    const template = importTemplate(options)
    return this.#run({ kind: 'import', root: this.#directories.root, template }, tar, (images) => {
      const image = images[0]!
      this.#records.add(image)
      if (reference !== undefined) this.#name(image.id, reference)
      this.#emit('import', image.id)
      return image.id
    })
  }

  async load(
    tar: Readable,
    onProgress: (message: string) => void,
  ): Promise<{ ids: string[]; references: string[] }> {
    const task: Task = { kind: 'load', root: this.#directories.root, platform: hostPlatform() }
    return this.#run(task, tar, (images) => {
      for (const image of images) this.#addLoaded(image, onProgress)
      const references = images.flatMap((image) =>
        image.references.filter((reference) => !reference.includes('@')),
      )
      return { ids: images.map(({ id }) => id), references: references.map(familiar) }
    })
  }

  list(): Image[] {
    const images = this.#records.all().map((image) => this.#describe(image))
    return images.sort((a, b) => created(b) - created(a))
  }

  get(ref: string): Image {
    return this.#describe(findImage(this.#records, ref).image)
  }

  tag(ref: string, target: string): void {
    const { image } = findImage(this.#records, ref)
    const reference = taggable(target)
    this.#guard(() => this.#name(image.record.id, reference))
  }

  remove(
    ref: string,
    options: Parameters<ImageStore['remove']>[1],
  ): { untagged: string[]; deleted: string[] } {
    const { image, reference } = findImage(this.#records, ref)
    const plan = planRemoval(image, reference, options)
    const { id } = image.record
    for (const name of plan.untag) {
      this.#guard(() => this.#records.unname(name))
      this.#emit('untag', id, familiar(name))
    }
    const untagged = plan.untag.map(familiar)
    if (!plan.remove) return { untagged, deleted: [] }
    this.#records.remove(id)
    this.#emit('delete', id)
    return { untagged, deleted: [id, ...this.#collect()] }
  }

  async createSnapshot(
    key: string,
    imageId: string,
    options: Parameters<ImageStore['createSnapshot']>[2],
  ): Promise<Snapshot> {
    const { chainIds } = this.#byId(imageId)
    const record: SnapshotRecord = { schema: 1, imageId, chainIds, lowerExtra: options.lowerExtra }
    this.#guard(() => this.#snapshots.create(key, record, options.root))
    this.#snapshotRecords.set(key, record)
    return this.getSnapshot(key)
  }

  getSnapshot(key: string): Snapshot {
    return this.#snapshots.get(key, (chainId) => this.#layers.diff(chainId))
  }

  async removeSnapshot(key: string): Promise<void> {
    if (!this.#snapshots.discard(key)) return
    const record = this.#snapshotRecords.get(key)
    this.#snapshotRecords.delete(key)
    // Only a snapshot of an image that is gone was the last to need its layers.
    if (!record || !this.#records.get(record.imageId)) this.#collect()
    this.#trash.emptySoon()
  }

  listSnapshots(): string[] {
    return this.#snapshots.list()
  }

  async snapshotSize(key: string): Promise<{ rw: number; image: number }> {
    const { chainIds } = this.#snapshots.record(key)
    return {
      rw: await treeSize(this.getSnapshot(key).upper),
      image: sizeOf(chainIds.map((chainId) => this.#layer(chainId))),
    }
  }

  maxId(imageId: string): number {
    return Math.max(0, ...this.#byId(imageId).chainIds.map((chainId) => this.#layer(chainId).maxId))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#trash.close()
    closeSync(this.#lock)
  }

  /** Puts away what a crash left half done. */
  #recover(): void {
    for (const name of readdirSync(this.#directories.temporary))
      renameSync(join(this.#directories.temporary, name), join(this.#directories.trash, randomUUID()))
    for (const key of this.#snapshots.list()) {
      try {
        this.#snapshotRecords.set(key, this.#snapshots.record(key))
      } catch (error) {
        this.#snapshotRecords.set(key, undefined)
        this.#warn(error as Error)
      }
    }
    this.#collect()
    if (readdirSync(this.#directories.trash).length > 0) this.#trash.emptySoon()
  }

  async #run<T>(task: Task, tar: Readable, commit: (images: ReadyImage[]) => T): Promise<T> {
    this.#tasks++
    try {
      const images = await runTask(task, tar)
      // Another process may have the directory by now: it puts away what was made.
      if (this.#closed) throw new HoldfastError('HF_INTERNAL', 'the image store was closed meanwhile')
      return this.#guard(() => commit(images))
    } finally {
      this.#tasks--
      if (!this.#closed) {
        this.#clearTemporary()
        this.#collect()
      }
    }
  }

  /** What a task left in the temporary directory, once no other may be using it. */
  #clearTemporary(): void {
    if (this.#tasks > 0) return
    for (const name of readdirSync(this.#directories.temporary))
      renameSync(join(this.#directories.temporary, name), join(this.#directories.trash, randomUUID()))
    if (readdirSync(this.#directories.trash).length > 0) this.#trash.emptySoon()
  }

  #addLoaded(image: ReadyImage, onProgress: (message: string) => void): void {
    const { id } = image
    this.#records.add(image)
    this.#emit('load', id)
    for (const reference of image.references) {
      const before = this.#records.name(id, reference)
      if (before && !before.record.references.some((entry) => entry.reference !== reference)) {
        const name = familiar(reference)
        onProgress(
          `The image ${name} already exists, renaming the old one with ID ${before.record.id} to empty string`,
        )
      }
      if (!reference.includes('@')) onProgress(`Loaded image: ${familiar(reference)}`)
    }
    if (image.references.length === 0) onProgress(`Loaded image ID: ${id}`)
  }

  #name(id: string, reference: string): void {
    this.#records.name(id, reference)
    this.#emit('tag', id, familiar(reference))
  }

  /** Removes layers and blobs that nothing refers to. Returns the chain ids that went. */
  #collect(): string[] {
    // While something is being loaded its layers have no image yet; with a damaged record one can't tell.
    if (this.#tasks > 0 || [...this.#snapshotRecords.values()].includes(undefined)) return []
    const images = this.#records.all()
    const used = new Set([
      ...images.flatMap(({ chainIds }) => chainIds),
      ...[...this.#snapshotRecords.values()].flatMap((record) => record!.chainIds),
    ])
    const removed = this.#layers.list().filter((chainId) => !used.has(chainId))
    for (const chainId of removed) {
      this.#layers.remove(chainId)
      this.#layerRecords.delete(chainId)
    }
    const blobs = new Set(
      images.flatMap(({ record }) => [
        record.id,
        ...[...record.layers, ...record.manifests].map(({ digest }) => digest),
      ]),
    )
    for (const digest of this.#content.list()) if (!blobs.has(digest)) this.#content.remove(digest)
    if (removed.length > 0) this.#trash.emptySoon()
    return removed
  }

  #describe({ record, config, chainIds }: StoredImage): Image {
    const references = record.references.map((entry) => entry.reference)
    const layers = chainIds.map((chainId) => ({ chainId, size: this.#layer(chainId).size }))
    return {
      id: record.id,
      repoTags: references
        .filter((reference) => !reference.includes('@'))
        .map(familiar)
        .sort(),
      repoDigests: references.filter((reference) => reference.includes('@')).map(familiar),
      config,
      layers,
      size: sizeOf(layers),
      lastTagged: record.lastTagged,
    }
  }

  #layer(chainId: string): LayerRecord {
    const known = this.#layerRecords.get(chainId) ?? this.#layers.record(chainId)
    this.#layerRecords.set(chainId, known)
    return known
  }

  #byId(imageId: string): StoredImage {
    const image = this.#records.get(imageId)
    if (image) return image
    throw new HoldfastError('HF_IMAGE_NOT_FOUND', `No such image: ${imageId}`)
  }

  #guard<T>(run: () => T): T {
    try {
      return run()
    } catch (error) {
      throw nameDiskFull(error, this.#directories.root)
    }
  }

  #emit(action: 'import' | 'load' | 'tag' | 'untag' | 'delete', id: string, reference?: string): void {
    const labels = this.#records.get(id)?.config.config.Labels ?? {}
    this.#options.onEvent?.({ action, id, labels, ...(reference !== undefined && { reference }) })
  }

  #warn(error: Error): void {
    this.#options.onWarning?.(error)
  }
}

function lock(root: string): number {
  const fd = openSync(join(root, 'lock'), 'a', 0o600)
  if (flock(fd, 'exclusive')) return fd
  closeSync(fd)
  throw new HoldfastError('HF_STORE_LOCKED', `${root} is in use by another process`, {
    hint: 'Is another supervisor running with the same --data-root?',
    details: { path: root },
  })
}

/** The full form of a reference that an image may be given. */
function taggable(text: string): string {
  const reference = parseReference(text)
  const refuse = (message: string) =>
    new HoldfastError('HF_INVALID_REFERENCE', message, { details: { reference: text } })
  if (reference.digest !== undefined) throw refuse('refusing to create a tag with a digest reference')
  if (familiarName(reference) === 'sha256')
    throw refuse('refusing to create an ambiguous tag using digest algorithm as name')
  return storedReference(text)
}

function familiar(reference: string): string {
  return familiarReference(parseReference(reference))
}

function created({ config }: Image): number {
  const time = Date.parse(config.created ?? '')
  return Number.isNaN(time) ? 0 : time
}

function sizeOf(layers: readonly { size: number }[]): number {
  return layers.reduce((total, { size }) => total + size, 0)
}
