/** Where the store keeps what, below its root. All of it 0700: images hold setuid files of strangers. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

export class StoreDirectories {
  readonly root: string
  /** Blobs by digest. */
  readonly blobs: string
  /** One record for each image. */
  readonly images: string
  /** Unpacked layers by chain id, each with its record. */
  readonly layers: string
  /** Writable layers by key. */
  readonly snapshots: string
  /** What is being made. Nothing in it outlives the process that made it. */
  readonly temporary: string
  /** What is being removed. */
  readonly trash: string

  constructor(root: string) {
    this.root = root
    this.blobs = join(root, 'blobs', 'sha256')
    this.images = join(root, 'images')
    this.layers = join(root, 'layers')
    this.snapshots = join(root, 'snapshots')
    this.temporary = join(root, 'tmp')
    this.trash = join(root, 'trash')
  }

  create(): void {
    for (const path of [this.blobs, this.images, this.layers, this.snapshots, this.temporary, this.trash])
      mkdirSync(path, { recursive: true, mode: 0o700 })
  }
}

/** The hexadecimal part of `sha256:…`: a name without a colon, which overlay's options would need escaped. */
export function hexOf(digest: string): string {
  return digest.slice('sha256:'.length)
}
