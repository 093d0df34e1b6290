/** The content store: blobs by their digest. A blob that is there is whole: it was checked before it got its name. */
import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { hexOf, type StoreDirectories } from './directories.ts'
import { renameDurably, writeDurably } from './durable.ts'

/** Manifests and configurations are small; a large one is an attack on whoever parses it. */
export const maxDocumentSize = 4 * 1024 * 1024

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
}

export class ContentStore {
  readonly #directory: string

  constructor(directories: StoreDirectories) {
    this.#directory = directories.blobs
  }

  /** Removes what a crash left of blobs being written. For the process that has the store's lock. */
  recover(): void {
    for (const name of readdirSync(this.#directory))
      if (!/^[a-f0-9]{64}$/.test(name)) rmSync(join(this.#directory, name))
  }

  path(digest: string): string {
    return join(this.#directory, hexOf(digest))
  }

  /** The blob's size in bytes; undefined where it is not there. */
  size(digest: string): number | undefined {
    try {
      return statSync(this.path(digest)).size
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Takes over a file of this content, which the caller has hashed while writing it. */
  adopt(file: string, digest: string): void {
    if (this.size(digest) !== undefined) return rmSync(file)
    const fd = openSync(file, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameDurably(file, this.path(digest))
  }

  /** Stores a small document; returns its digest. */
  add(document: Buffer): string {
    const digest = digestOf(document)
    if (this.size(digest) === undefined) writeDurably(this.path(digest), document)
    return digest
  }

  /** Reads a manifest or a configuration, and checks it again. */
  document(digest: string): Buffer {
    const size = this.size(digest)
    if (size === undefined) throw new HoldfastError('HF_INTERNAL', `the blob ${digest} is missing`)
    if (size > maxDocumentSize)
      throw new HoldfastError('HF_CORRUPT_LAYER', `the document ${digest} is too large`)
    const content = readFileSync(this.path(digest))
    checkDigest(`the stored document ${digest}`, digest, digestOf(content))
    return content
  }

  /** Digests of all blobs. */
  list(): string[] {
    return readdirSync(this.#directory)
      .filter((name) => /^[a-f0-9]{64}$/.test(name))
      .map((name) => `sha256:${name}`)
  }

  remove(digest: string): void {
    rmSync(this.path(digest), { force: true })
  }
}

export function digestOf(content: Buffer | string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

export function checkDigest(what: string, expected: string, actual: string): void {
  if (expected === actual) return
  throw new HoldfastError(
    'HF_DIGEST_MISMATCH',
    `${what}: digest mismatch: expected ${expected}, got ${actual}`,
    {
      hint: 'The content was changed or damaged on its way here: fetch it again.',
      details: { expected, actual },
    },
  )
}
