/** The package's public face: what an image store does. `openImageStore` (store.ts) makes one. */
import type { Readable } from 'node:stream'

/** The image configuration, OCI image-spec `config.json` (Docker's schema 2 config is a superset). */
export interface ImageConfig {
  architecture: string
  os: string
  variant?: string
  created?: string
  author?: string
  config: ImageRunConfig
  rootfs: { type: 'layers'; diff_ids: string[] }
  history: {
    created?: string
    created_by?: string
    author?: string
    comment?: string
    empty_layer?: boolean
  }[]
}

/** What an image says about the containers made of it: `config` of the image configuration. */
export interface ImageRunConfig {
  User?: string
  ExposedPorts?: Record<string, Record<string, never>>
  Env?: string[]
  Entrypoint?: string[] | null
  Cmd?: string[] | null
  Volumes?: Record<string, Record<string, never>>
  WorkingDir?: string
  Labels?: Record<string, string>
  StopSignal?: string
  Healthcheck?: unknown
  Shell?: string[]
  OnBuild?: string[]
}

/** An image, as `docker images` and `inspect` show it. */
export interface Image {
  /** `sha256:…` of the config. */
  id: string
  /** `busybox:latest`, `localhost:5000/a/b:1`: familiar form. */
  repoTags: string[]
  /** `busybox@sha256:…`. */
  repoDigests: string[]
  config: ImageConfig
  /** Unpacked, lowest first. Images with a layer of the same chain id share it on the disk. */
  layers: ImageLayer[]
  /** Bytes of all of them. */
  size: number
  /** RFC 3339. */
  lastTagged: string
}

/** One layer, as it lies on those beneath it. */
export interface ImageLayer {
  /** `sha256:…`, of this layer on all beneath it (image-spec, config.md#layer-chainid). */
  chainId: string
  /** Bytes. */
  size: number
}

/** A container that uses an image. */
export interface ImageUser {
  id: string
  running: boolean
}

/** A container's writable layer, and what it lies on: directories for overlayfs, which the caller mounts. */
export interface Snapshot {
  /** Unpacked layer directories, top first, for overlay's lowerdir. */
  lower: string[]
  upper: string
  work: string
}

/** All images and snapshots below one directory. */
export interface ImageStore {
  /** A root file system as a tar stream (gzip, zstd or plain) becomes an image of one layer. Returns its id. */
  import(
    tar: Readable,
    options: { reference?: string; message?: string; changes?: string[]; platform?: string },
  ): Promise<string>
  /**
   * `docker save`'s format or an OCI layout, as a tar. Reports each image loaded, in dockerd's words and without the
   * line's end: `Loaded image: name:tag`, `Loaded image ID: sha256:…`. `references` are in familiar form.
   */
  load(tar: Readable, onProgress: (message: string) => void): Promise<{ ids: string[]; references: string[] }>
  list(): Image[]
  /** By reference, id or unambiguous id prefix. Throws HF_IMAGE_NOT_FOUND. */
  get(ref: string): Image
  tag(ref: string, target: string): void
  /**
   * One reference taken off; with the last one the image goes too. `inUse` says who uses an image id: a bare id
   * stands for a container that is not running. Throws HF_IMAGE_IN_USE in Docker's words.
   */
  remove(
    ref: string,
    options: { force: boolean; noPrune: boolean; inUse: (imageId: string) => (string | ImageUser)[] },
  ): { untagged: string[]; deleted: string[] }
  /**
   * A writable layer over an image for a container. `root` is the host uid/gid that owns the upper directory's
   * root; `lowerExtra` are directories stacked above the image's layers (the engine's init layer), top first.
   */
  createSnapshot(
    key: string,
    imageId: string,
    options: { root: { uid: number; gid: number }; lowerExtra: string[] },
  ): Promise<Snapshot>
  /** The same answer as createSnapshot gave; throws when there is none. */
  getSnapshot(key: string): Snapshot
  /** Its name is free and it is gone from the list when this resolves; its files are removed in the background. */
  removeSnapshot(key: string): Promise<void>
  /** Keys of all snapshots on disk, for recovery. */
  listSnapshots(): string[]
  /** Bytes in the writable layer, and in the image below it. */
  snapshotSize(key: string): Promise<{ rw: number; image: number }>
  /** Highest uid or gid in the image's layers, to check that the id range holds it. */
  maxId(imageId: string): number
  close(): void
}

/**
 * Reads a regular file as a container with this snapshot would see it: layers from the top, whiteouts and opaque
 * directories honoured, symbolic links resolved inside the tree. undefined where it is missing or no regular file.
 * Never blocks on a FIFO or device; at most `limit` bytes are read (1 MiB for /etc/passwd).
 */
export type ReadInSnapshot = (snapshot: Snapshot, path: string, limit: number) => Buffer | undefined

/** What openImageStore emits through `onEvent`, in Docker's words and order. `id` and `labels` are the image's. */
export type ImageEvent = {
  action: 'import' | 'load' | 'tag' | 'untag' | 'delete'
  id: string
  reference?: string
  /** None where the image is gone. */
  labels: Record<string, string>
}

/** Where the store lies, and who hears of it. */
export interface ImageStoreOptions {
  root: string
  onEvent?: (event: ImageEvent) => void
  /** What went wrong where no caller waits: a damaged record that was set aside, a tree that can't be removed. */
  onWarning?: (error: Error) => void
}

/** `root` is made with mode 0700. Throws HF_STORE_LOCKED where another process has it open. */
export type OpenImageStore = (options: ImageStoreOptions) => Promise<ImageStore>
