/** The files in an archive of images, written to temporary files and hashed on the way. */
import { createHash, randomUUID, type Hash } from 'node:crypto'
import { closeSync, createReadStream, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '@holdfast/errors'
import type { ContentStore } from '../content.ts'
import { maxDocumentSize } from '../content.ts'
import type { StoreDirectories } from '../directories.ts'
import { corrupt, printable } from '../tar/corrupt.ts'
import { decompress } from '../tar/decompress.ts'
import type { TarEntry, TarSink } from '../tar/entry.ts'
import { defaultTarLimits, TarReader } from '../tar/reader.ts'

export interface Member {
  path: string
  digest: string
  size: number
  /** Where its bytes are. */
  file: string
  /** It is in the content store. */
  stored: boolean
}

/** An archive of images has a few files for each layer; more than this is something else. */
const maxMembers = 100_000
const maxLinks = 10

export class Members {
  readonly #files = new Map<string, Member>()
  /** Older versions of `docker save` link a layer to the same one of another image. */
  readonly #links = new Map<string, string>()

  /** Reads the archive to its end. */
  static async read(source: AsyncIterable<Buffer>, directories: StoreDirectories): Promise<Members> {
    const members = new Members()
    const spool = new Spool(directories, members.#files, members.#links)
    try {
      const reader = new TarReader(spool, { ...defaultTarLimits, entries: maxMembers })
      await decompress(source, (chunk) => reader.write(chunk))
      reader.end()
    } finally {
      spool.close()
    }
    return members
  }

  get(path: string): Member | undefined {
    let at = path
    for (let hops = 0; hops <= maxLinks; hops++) {
      const target = this.#links.get(at)
      if (target === undefined) return this.#files.get(at)
      at = target
    }
    return undefined
  }

  need(path: string): Member {
    const member = this.get(path)
    if (member) return member
    throw new HoldfastError('HF_CORRUPT_LAYER', `the archive lacks ${JSON.stringify(path)}`)
  }

  /** The bytes of a small file. */
  document(path: string): Buffer {
    const member = this.need(path)
    if (member.size > maxDocumentSize)
      throw new HoldfastError(
        'HF_CORRUPT_LAYER',
        `${JSON.stringify(path)} has more than ${maxDocumentSize} bytes`,
      )
    return readFileSync(member.file)
  }

  /** Paths of all files. */
  paths(): string[] {
    return [...this.#files.keys(), ...this.#links.keys()]
  }
}

export function openMember(member: Member): AsyncIterable<Buffer> {
  return createReadStream(member.file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>
}

/** Moves a member into the content store. */
export function keep(member: Member, content: ContentStore): void {
  if (member.stored) return
  content.adopt(member.file, member.digest)
  member.file = content.path(member.digest)
  member.stored = true
}

class Spool implements TarSink {
  readonly #directory: string
  readonly #files: Map<string, Member>
  readonly #links: Map<string, string>
  #open: { path: string; file: string; fd: number; hash: Hash; size: number } | undefined
  #count = 0

  constructor(directories: StoreDirectories, files: Map<string, Member>, links: Map<string, string>) {
    this.#directory = join(directories.temporary, randomUUID())
    mkdirSync(this.#directory, { mode: 0o700 })
    this.#files = files
    this.#links = links
  }

  entry(entry: TarEntry): void {
    const path = normal(entry.name.toString('utf8'), entry)
    switch (entry.type) {
      case 'directory':
        return
      case 'file': {
        if (entry.sparse) throw corrupt('a sparse file', entry.name)
        const file = join(this.#directory, String(this.#count++))
        this.#links.delete(path)
        this.#open = { path, file, fd: openSync(file, 'wx', 0o600), hash: createHash('sha256'), size: 0 }
        return
      }
      case 'symlink':
      case 'hardlink': {
        const target = entry.linkName.toString('utf8')
        const base = entry.type === 'symlink' ? path.split('/').slice(0, -1).join('/') : ''
        this.#files.delete(path)
        this.#links.set(path, normal(`${base}/${target}`, entry))
        return
      }
      case 'char':
      case 'block':
      case 'fifo':
        throw corrupt(`a ${entry.type} among the images`, entry.name)
    }
  }

  data(chunk: Buffer): void {
    const open = this.#open!
    open.hash.update(chunk)
    open.size += chunk.length
    for (let done = 0; done < chunk.length;) done += writeSync(open.fd, chunk, done)
  }

  entryEnd(): void {
    const open = this.#open
    if (!open) return
    this.close()
    const { path, file, size } = open
    this.#files.set(path, { path, file, size, digest: `sha256:${open.hash.digest('hex')}`, stored: false })
  }

  close(): void {
    if (this.#open) closeSync(this.#open.fd)
    this.#open = undefined
  }
}

/** A path in the archive; nothing is ever looked up on disk by it. */
function normal(path: string, entry: TarEntry): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined)
      throw corrupt(`a path that leaves the archive: ${printable(Buffer.from(path))}`, entry.name)
  }
  return parts.join('/')
}
