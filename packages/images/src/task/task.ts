/**
 * What is done in a worker thread, and the messages between it and the store.
 *
 *   store  ── task ─────────────────────▶ worker
 *          ── chunk* · end | abort ────▶          (at most `window` chunks not yet taken)
 *          ◀── taken* ──────────────────
 *          ◀── done | failed ───────────
 *
 * Unpacking makes system calls by the ten thousand, hashes and parses: on the store's own thread it would hold up
 * everything else for seconds. A thread rather than a process: it starts faster, the addon is loaded already, and its
 * heap has a limit of its own (`resourceLimits`), so a hostile archive ends the thread and not the
 * process. Records stay with the store's thread: it alone decides which images there are.
 */
import type { ErrorJson } from '@holdfast/errors'
import type { Descriptor } from '../content.ts'

export type Task =
  | { kind: 'import'; root: string; template: ImportTemplate }
  | { kind: 'load'; root: string; platform: Platform }
  | { kind: 'empty-trash'; root: string }

export interface Platform {
  os: string
  architecture: string
  variant?: string
}

/** The image configuration but for the layer's digest. */
export interface ImportTemplate {
  config: Record<string, unknown>
}

/** An image whose blobs and layers are in place: all it lacks is a record. */
export interface ReadyImage {
  id: string
  manifests: Descriptor[]
  layers: Descriptor[]
  /** Full references. */
  references: string[]
}

export type ToWorker = { type: 'task'; task: Task } | Input

export type Input = { type: 'chunk'; data: Uint8Array } | { type: 'end' } | { type: 'abort'; message: string }

export type FromWorker =
  | { type: 'taken' }
  | { type: 'done'; images: ReadyImage[] }
  | { type: 'failed'; error: FailureJson }

/** An error on its way between threads: cloning would lose its class. */
export type FailureJson =
  | ({ kind: 'holdfast' } & ErrorJson)
  | { kind: 'system'; message: string; code: string; stack?: string | undefined }
  | { kind: 'other'; message: string; stack?: string | undefined }

/** Chunks on their way to the worker: enough that neither side waits for the other at each one. */
export const window = 16
