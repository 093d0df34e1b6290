/**
 * Finding and making the directory that an entry goes into. Every path is looked up by the kernel with the layer's
 * directory as its root: a symbolic link in the layer may be part of a path, as in a container, and can't lead out.
 */
import { hasCode } from '@holdfast/errors'
import {
  closeFd,
  fchmod,
  fchownat,
  fstat,
  fstatat,
  mkdirat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  unlinkat,
} from '@holdfast/core'
import { corrupt } from '../tar/corrupt.ts'
import type { Timestamp } from '../tar/entry.ts'
import { isWhiteout, makeOpaque } from './whiteout.ts'

/** Components of a path inside the layer; each character is a byte. */
export type LayerPath = readonly string[]

const inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

export class Directories {
  readonly #root: number
  readonly #lower: readonly number[]
  readonly #onCopy: (path: LayerPath, mtime: Timestamp) => void
  /**
   * The last parent: archives list a directory's files one after another. Only one is kept, and what an entry replaces
   * is below its own parent, so the parent kept is never part of what was removed.
   */
  #last: { path: string; fd: number } | undefined

  /**
   * `root` is the layer, `lower` are the layers below it, top first. `onCopy` hears the times of directories that
   * were made after one of those.
   */
  constructor(root: number, lower: readonly number[], onCopy: (path: LayerPath, mtime: Timestamp) => void) {
    this.#root = root
    this.#lower = lower
    this.#onCopy = onCopy
  }

  /** The directory at `path`, made where it is missing. The descriptor is only good until the next call. */
  get(path: LayerPath): number {
    const text = path.join('/')
    if (this.#last?.path === text) return this.#last.fd
    this.close()
    const fd = this.#open(text) ?? this.#make(path)
    this.#last = { path: text, fd }
    return fd
  }

  /** The directory at `path`, which the caller closes; undefined where there is none. */
  find(path: LayerPath): number | undefined {
    return this.#open(path.join('/'))
  }

  close(): void {
    if (this.#last) closeFd(this.#last.fd)
    this.#last = undefined
  }

  #open(path: string): number | undefined {
    try {
      return openat2(this.#root, bytes(path || '.'), { flags: O_PATH | O_DIRECTORY, resolve: inside })
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  #make(path: LayerPath): number {
    let depth = path.length - 1
    let fd = this.#open(path.slice(0, depth).join('/'))
    while (fd === undefined) fd = this.#open(path.slice(0, --depth).join('/'))
    for (; depth < path.length; depth++) {
      const above = fd
      try {
        fd = this.#makeOne(above, path.slice(0, depth + 1))
      } finally {
        closeFd(above)
      }
    }
    return fd
  }

  #makeOne(parent: number, path: LayerPath): number {
    const name = bytes(path.at(-1)!)
    const hidesLower = this.#makeWay(parent, name, path)
    mkdirat(parent, name, 0o700)
    const fd = openat2(parent, name, { flags: O_DIRECTORY | O_NOFOLLOW })
    try {
      if (hidesLower) makeOpaque(fd)
      this.#copyFromBelow(fd, path, hidesLower)
    } catch (error) {
      closeFd(fd)
      throw error
    }
    return fd
  }

  /** A whiteout gives way to a directory, which then hides what is below. Anything else that is there is an error. */
  #makeWay(parent: number, name: Buffer, path: LayerPath): boolean {
    let found
    try {
      found = fstatat(parent, name)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
    if (!isWhiteout(found)) throw corrupt('a directory is needed here', bytes(path.join('/')))
    unlinkat(parent, name)
    return true
  }

  /** The upper layer's directory decides how the merged one looks: keep what the layer below says, or /tmp is 0755. */
  #copyFromBelow(fd: number, path: LayerPath, hidesLower: boolean): void {
    const below = hidesLower ? undefined : this.#statBelow(path)
    fchownat(fd, '', below?.uid ?? 0, below?.gid ?? 0)
    fchmod(fd, (below?.mode ?? 0o755) & 0o7777)
    if (below) {
      const nanoseconds = BigInt.asUintN(64, below.mtimeNs % 1_000_000_000n)
      this.#onCopy(path, {
        seconds: Number(below.mtimeNs / 1_000_000_000n),
        nanoseconds: Number(nanoseconds),
      })
    }
  }

  #statBelow(path: LayerPath) {
    for (const layer of this.#lower) {
      try {
        const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
        const fd = openat2(layer, bytes(path.join('/')), { flags: O_PATH | O_DIRECTORY, resolve })
        try {
          return fstat(fd)
        } finally {
          closeFd(fd)
        }
      } catch (error) {
        if (hasCode(error, 'ENOENT')) continue
        if (hasCode(error, 'ENOTDIR', 'ELOOP')) return undefined // something else hides it
        throw error
      }
    }
    return undefined
  }
}
