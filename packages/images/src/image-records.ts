/**
 * Which images there are and what they are called: one JSON file for each image, written durably. A name belongs to
 * the image that got it last; where a crash left it with two, the later time decides.
 */
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { syncDirectory } from '@holdfast/core'
import type { ContentStore, Descriptor } from './content.ts'
import { hexOf, type StoreDirectories } from './directories.ts'
import { writeDurably } from './durable.ts'
import { parseImageConfig } from './image-config.ts'
import type { ImageConfig } from './image-store.ts'
import { chainIdsOf, type LayerStore } from './layers.ts'
import { fullReference, isSha256, parseReference } from './names/reference.ts'

export interface ImageRecord {
  schema: 1
  /** Digest of the configuration. */
  id: string
  /** The manifests it came with, by which `name@digest` finds it. */
  manifests: Descriptor[]
  /** The layers' archives as they came, lowest first. */
  layers: Descriptor[]
  /** Full references, with a tag or with a digest, and when the image got them (milliseconds since the epoch). */
  references: { reference: string; at: number }[]
  /** RFC 3339. */
  lastTagged: string
}

export interface StoredImage {
  record: ImageRecord
  config: ImageConfig
  chainIds: string[]
}

export class ImageRecords {
  readonly #directories: StoreDirectories
  readonly #content: ContentStore
  readonly #images = new Map<string, StoredImage>()
  /** Image id by full reference. */
  readonly #byReference = new Map<string, string>()
  /** The last time given to a reference: time must not stand still or run backwards here. */
  #clock = 0

  /** `onDamaged` hears of records that can't be used; they are kept aside as `*.damaged`. */
  constructor(
    directories: StoreDirectories,
    stores: { content: ContentStore; layers: LayerStore },
    onDamaged: (error: Error) => void,
  ) {
    this.#directories = directories
    this.#content = stores.content
    for (const name of readdirSync(directories.images)) {
      const path = join(directories.images, name)
      if (name.endsWith('.tmp')) rmSync(path)
      if (!name.endsWith('.json')) continue
      try {
        this.#load(path, stores.layers)
      } catch (error) {
        renameSync(path, `${path}.damaged`)
        onDamaged(new Error(`the record ${path} is damaged and was set aside`, { cause: error }))
      }
    }
    for (const image of this.#images.values()) this.#claim(image)
  }

  all(): StoredImage[] {
    return [...this.#images.values()]
  }

  get(id: string): StoredImage | undefined {
    return this.#images.get(id)
  }

  byReference(reference: string): StoredImage | undefined {
    const id = this.#byReference.get(reference)
    return id === undefined ? undefined : this.#images.get(id)
  }

  /** Adds an image, or what is new about one that is there. */
  add(image: Pick<ImageRecord, 'id' | 'manifests' | 'layers'>): StoredImage {
    const known = this.#images.get(image.id)
    const manifests = [...(known?.record.manifests ?? [])]
    for (const manifest of image.manifests)
      if (!manifests.some(({ digest }) => digest === manifest.digest)) manifests.push(manifest)
    const config = known?.config ?? parseImageConfig(this.#content.document(image.id))
    const stored: StoredImage = {
      record: {
        schema: 1,
        id: image.id,
        manifests,
        layers: known?.record.layers ?? image.layers,
        references: known?.record.references ?? [],
        lastTagged: known?.record.lastTagged ?? new Date().toISOString(),
      },
      config,
      chainIds: known?.chainIds ?? chainIdsOf(config.rootfs.diff_ids),
    }
    this.#write(stored)
    return stored
  }

  /** Gives a full reference to an image. Returns the image that had it before, if it was another. */
  name(id: string, reference: string): StoredImage | undefined {
    const image = this.#images.get(id)!
    const before = this.byReference(reference)
    this.#clock = Math.max(this.#clock + 1, Date.now())
    const others = image.record.references.filter((entry) => entry.reference !== reference)
    this.#write({
      ...image,
      record: {
        ...image.record,
        references: [...others, { reference, at: this.#clock }],
        lastTagged: new Date().toISOString(),
      },
    })
    this.#byReference.set(reference, id)
    if (before === undefined || before.record.id === id) return undefined
    this.#writeWithout(before, reference)
    return before
  }

  unname(reference: string): void {
    const image = this.byReference(reference)
    if (!image) return
    this.#writeWithout(image, reference)
    this.#byReference.delete(reference)
  }

  remove(id: string): void {
    rmSync(this.#path(id))
    syncDirectory(this.#directories.images)
    for (const { reference } of this.#images.get(id)?.record.references ?? [])
      this.#byReference.delete(reference)
    this.#images.delete(id)
  }

  #load(path: string, layers: LayerStore): void {
    const record = JSON.parse(readFileSync(path, 'utf8')) as ImageRecord
    if (record.schema !== 1) throw new Error(`unknown schema ${String(record.schema)}`)
    if (!isSha256(record.id) || path !== this.#path(record.id))
      throw new Error('the record is of another image')
    for (const { reference } of record.references) parseReference(reference)
    const config = parseImageConfig(this.#content.document(record.id))
    const chainIds = chainIdsOf(config.rootfs.diff_ids)
    const missing = chainIds.find((chainId) => !layers.has(chainId))
    if (missing !== undefined) throw new Error(`its layer ${missing} is missing`)
    this.#images.set(record.id, { record, config, chainIds })
  }

  /** Takes an image's references, unless another has a later claim. */
  #claim(image: StoredImage): void {
    for (const { reference, at } of image.record.references) {
      this.#clock = Math.max(this.#clock, at)
      const holder = this.byReference(reference)
      const theirs = holder?.record.references.find((entry) => entry.reference === reference)?.at ?? -1
      if (holder && theirs >= at) this.#writeWithout(image, reference)
      else {
        if (holder) this.#writeWithout(holder, reference)
        this.#byReference.set(reference, image.record.id)
      }
    }
  }

  #writeWithout(image: StoredImage, reference: string): void {
    const references = image.record.references.filter((entry) => entry.reference !== reference)
    this.#write({ ...image, record: { ...image.record, references } })
  }

  #write(image: StoredImage): void {
    writeDurably(this.#path(image.record.id), JSON.stringify(image.record))
    this.#images.set(image.record.id, image)
  }

  #path(id: string): string {
    return join(this.#directories.images, `${hexOf(id)}.json`)
  }
}

/** Full reference, with `:latest` where there is neither tag nor digest. */
export function storedReference(text: string): string {
  const reference = parseReference(text)
  if (reference.digest !== undefined) {
    // With both, the digest decides.
    const { tag: _, ...byDigest } = reference
    return fullReference(byDigest)
  }
  return fullReference({ ...reference, tag: reference.tag ?? 'latest' })
}
