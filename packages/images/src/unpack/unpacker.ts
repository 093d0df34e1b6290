/**
 * Makes a layer's files from the entries of its archive, in a directory of its own. Nothing outside can be reached:
 * parents are looked up inside (directories.ts), and the last component is created with O_EXCL or replaced, never
 * followed.
 */
import { writeSync } from 'node:fs'
import { HoldfastError, hasCode } from '@holdfast/errors'
import {
  closeFd,
  fstatat,
  ftruncate,
  linkat,
  mkdirat,
  mknodat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  openat2,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  symlinkat,
  type FileStat,
} from '@holdfast/core'
import { removeFrom } from '../tree/remove-tree.ts'
import { corrupt, printable } from '../tar/corrupt.ts'
import type { TarEntry, TarSink, Timestamp } from '../tar/entry.ts'
import { applyAttributes, applyTime, applyToNode } from './attributes.ts'
import { bytes, Directories, type LayerPath } from './directories.ts'
import { isWhiteout, isWhiteoutName, makeOpaque, makeWhiteout, meaningOf } from './whiteout.ts'

export interface UnpackLimits {
  /** Bytes of file data written. */
  bytes: number
  /** Components of a path. */
  depth: number
}

export const defaultUnpackLimits: UnpackLimits = { bytes: 64 * 2 ** 30, depth: 1000 }

export interface UnpackOptions {
  /** Descriptor of the layer's directory, empty. */
  root: number
  /** Descriptor of an empty directory on the same file system. */
  scratch: number
  /** Descriptors of the layers below, top first. */
  lower: readonly number[]
  limits: UnpackLimits
}

export interface UnpackResult {
  /** Bytes of all files and symbolic links, holes included: as `docker images` counts. */
  size: number
  /** The highest uid or gid. */
  maxId: number
}

export class Unpacker implements TarSink {
  readonly #options: UnpackOptions
  readonly #directories: Directories
  /** Times of directories, set last: making something in a directory changes them. By path. */
  readonly #times = new Map<string, Timestamp>()
  readonly #result: UnpackResult = { size: 0, maxId: 0 }
  #written = 0
  #open: { entry: TarEntry; fd: number } | undefined
  #current: TarEntry | undefined

  constructor(options: UnpackOptions) {
    this.#options = options
    this.#directories = new Directories(options.root, options.lower, (path, mtime) => {
      this.#times.set(path.join('/'), mtime)
    })
  }

  entry(entry: TarEntry): void {
    this.#current = entry
    this.#explain(() => this.#make(entry))
  }

  data(chunk: Buffer, offset: number): void {
    this.#written += chunk.length
    if (this.#written > this.#options.limits.bytes) {
      const message = `the layer unpacks to more than ${this.#options.limits.bytes} bytes`
      throw new HoldfastError('HF_CORRUPT_LAYER', message)
    }
    const fd = this.#open?.fd
    if (fd === undefined) return // of something that has no data: a whiteout
    this.#explain(() => writeAll(fd, chunk, offset))
  }

  entryEnd(): void {
    const open = this.#open
    if (!open) return
    this.#explain(() => {
      if (open.entry.sparse) ftruncate(open.fd, open.entry.size)
      applyAttributes(open.fd, open.entry)
      applyTime(open.fd, '', open.entry.mtime)
    })
    this.#open = undefined
    closeFd(open.fd)
  }

  /** Sets what has to come last. */
  finish(): UnpackResult {
    this.#current = undefined
    for (const [path, time] of this.#times) {
      const fd = this.#directories.find(path === '' ? [] : path.split('/'))
      if (fd === undefined) continue // replaced by something else meanwhile
      try {
        this.#explain(() => applyTime(fd, '', time))
      } finally {
        closeFd(fd)
      }
    }
    return this.#result
  }

  /** Closes every descriptor of its own; after a failure too. */
  close(): void {
    if (this.#open) closeFd(this.#open.fd)
    this.#open = undefined
    this.#directories.close()
  }

  #make(entry: TarEntry): void {
    const path = this.#split(entry.name, entry)
    const meaning = meaningOf(path, entry.name)
    if (meaning.kind === 'skip') return
    if (path.length === 0) return this.#rootDirectory(entry)
    const above = path.slice(0, -1)
    if (meaning.kind !== 'entry') {
      if (entry.type !== 'file') throw corrupt(`a whiteout that is a ${entry.type}`, entry.name)
      return meaning.kind === 'opaque' ? this.#opaque(above) : this.#whiteout(above, bytes(meaning.hidden))
    }
    this.#result.maxId = Math.max(this.#result.maxId, entry.uid, entry.gid)
    this.#result.size += entry.type === 'symlink' ? entry.linkName.length : entry.size
    this.#create(entry, path, this.#directories.get(above), bytes(path.at(-1)!))
  }

  #create(entry: TarEntry, path: LayerPath, parent: number, name: Buffer): void {
    switch (entry.type) {
      case 'file': {
        const how = { flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600 }
        this.#open = { entry, fd: this.#replacing(parent, name, () => openat2(parent, name, how)) }
        return
      }
      case 'directory':
        return this.#directory(entry, path, parent, name)
      case 'hardlink':
        return this.#hardLink(entry, parent, name)
      case 'symlink':
        this.#replacing(parent, name, () => symlinkat(entry.linkName, parent, name))
        break
      case 'char':
      case 'block':
      case 'fifo':
        this.#node(entry, parent, name)
        break
    }
    applyToNode(parent, name, entry)
  }

  #node(entry: TarEntry, parent: number, name: Buffer): void {
    const { major, minor } = entry.device
    // Overlay takes a device 0:0 for a whiteout: one in an archive would delete what no whiteout names.
    if (entry.type === 'char' && major === 0 && minor === 0)
      throw corrupt('a character device 0:0', entry.name)
    const type = { char: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[entry.type as 'char' | 'block' | 'fifo']
    this.#replacing(parent, name, () => mknodat(parent, name, type | 0o600, major, minor))
  }

  #rootDirectory(entry: TarEntry): void {
    if (entry.type !== 'directory') throw corrupt('the root is no directory', entry.name)
    this.#result.maxId = Math.max(this.#result.maxId, entry.uid, entry.gid)
    applyAttributes(this.#options.root, entry)
    this.#times.set('', entry.mtime)
  }

  #directory(entry: TarEntry, path: LayerPath, parent: number, name: Buffer): void {
    const found = statEntry(parent, name)
    const isDirectory = found !== undefined && (found.mode & S_IFMT) === S_IFDIR
    if (!isDirectory) {
      if (found) removeFrom(parent, name, this.#options.scratch)
      mkdirat(parent, name, 0o700)
    }
    const fd = openat2(parent, name, { flags: O_DIRECTORY | O_NOFOLLOW })
    try {
      // A whiteout or file of this name hid the directory below: this is a new one of the same name.
      if (found && !isDirectory) makeOpaque(fd)
      applyAttributes(fd, entry)
    } finally {
      closeFd(fd)
    }
    this.#times.set(path.join('/'), entry.mtime)
  }

  /** The link's owner, mode and times are its target's: one inode has one set of them. */
  #hardLink(entry: TarEntry, parent: number, name: Buffer): void {
    const target = this.#split(entry.linkName, entry)
    const targetName = target.at(-1)
    if (targetName === undefined || target.some(isWhiteoutName))
      throw corrupt('a hard link to no file', entry.name)
    const from = this.#directories.find(target.slice(0, -1))
    if (from === undefined) throw missingTarget(entry)
    try {
      const found = statEntry(from, bytes(targetName))
      if (found === undefined) throw missingTarget(entry)
      if ((found.mode & S_IFMT) === S_IFDIR || isWhiteout(found))
        throw corrupt('a hard link to no file', entry.name)
      const existing = statEntry(parent, name)
      if (existing && existing.ino === found.ino) return // GNU tar stores a file twice when told to
      this.#replacing(parent, name, () => linkat(from, bytes(targetName), parent, name))
    } finally {
      closeFd(from)
    }
  }

  /** Hides what the layers below have; what this layer itself has of that name stays. */
  #whiteout(above: LayerPath, hidden: Buffer): void {
    const parent = this.#directories.get(above)
    const found = statEntry(parent, hidden)
    if (found === undefined) return makeWhiteout(parent, hidden)
    if ((found.mode & S_IFMT) !== S_IFDIR) return
    const fd = openat2(parent, hidden, { flags: O_DIRECTORY | O_NOFOLLOW })
    try {
      makeOpaque(fd)
    } finally {
      closeFd(fd)
    }
  }

  #opaque(directory: LayerPath): void {
    makeOpaque(this.#directories.get(directory))
  }

  /** Makes an entry; where one of that name exists, it goes. Only a directory over a directory is merged. */
  #replacing<T>(parent: number, name: Buffer, make: () => T): T {
    try {
      return make()
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
    }
    removeFrom(parent, name, this.#options.scratch)
    return make()
  }

  #split(name: Buffer, entry: TarEntry): string[] {
    const path = name
      .toString('latin1')
      .split('/')
      .filter((component) => component !== '' && component !== '.')
    if (path.includes('..')) throw corrupt('".." in a path', entry.name)
    if (path.length > this.#options.limits.depth) throw corrupt('the path is too deep', entry.name)
    return path
  }

  /** Says which entry a failing call was about, and tells a bad archive from a bad disk. */
  #explain<T>(run: () => T): T {
    try {
      return run()
    } catch (error) {
      const name = this.#current?.name
      if (
        hasCode(
          error,
          'ENOTDIR',
          'ENAMETOOLONG',
          'ELOOP',
          'EXDEV',
          'ENOENT',
          'EINVAL',
          'EISDIR',
          'ERANGE',
          'E2BIG',
          'EMLINK',
        )
      ) {
        const message = `invalid tar archive: ${name ? printable(name) : 'an entry'}: ${(error as Error).message}`
        throw new HoldfastError('HF_CORRUPT_LAYER', message, { cause: error })
      }
      throw error
    }
  }
}

function statEntry(parent: number, name: Buffer): FileStat | undefined {
  try {
    return fstatat(parent, name)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function missingTarget(entry: TarEntry): HoldfastError {
  return corrupt(`a hard link to ${printable(entry.linkName)}, which is not in this layer`, entry.name)
}

function writeAll(fd: number, chunk: Buffer, offset: number): void {
  for (let done = 0; done < chunk.length;) {
    done += writeSync(fd, chunk, done, chunk.length - done, offset + done)
  }
}
