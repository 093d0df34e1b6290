/**
 * Looking into a snapshot without mounting it, as overlay would show it. Everything goes by directory descriptors,
 * one component at a time, following nothing: what a container wrote is hostile.
 * https://docs.kernel.org/filesystems/overlayfs.html
 */
import { HoldfastError, hasCode } from '@holdfast/errors'
import {
  AT_FDCWD,
  closeFd,
  fgetxattr,
  fstat,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  openat2,
  readFd,
  readlinkat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '@holdfast/core'
import type { ReadInSnapshot, Snapshot } from '../image-store.ts'
import { printable } from '../tar/corrupt.ts'
import { isWhiteout, opaqueAttribute } from '../unpack/whiteout.ts'

/** The kernel's own bound on symbolic links in one path. */
const maxLinks = 40
const maxComponents = 1000

/** Descriptors of one merged directory in the layers that have it, top first. */
type Merged = number[]

export const readInSnapshot: ReadInSnapshot = (snapshot, path, limit) => {
  const view = new SnapshotView(snapshot)
  try {
    return view.read(path, limit)
  } finally {
    view.close()
  }
}

class SnapshotView {
  readonly #open: number[] = []
  readonly #root: Merged

  constructor(snapshot: Snapshot) {
    this.#root = []
    try {
      for (const layer of [snapshot.upper, ...snapshot.lower]) {
        this.#root.push(this.#keep(openat2(AT_FDCWD, layer, { flags: O_PATH | O_DIRECTORY })))
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  read(path: string, limit: number): Buffer | undefined {
    const found = this.#resolve(path)
    if (found === undefined) return undefined
    const { directory, name } = found
    // Opening a FIFO would wait for a writer, and opening a device has effects: what it is, is known before.
    const fd = this.#keep(openat2(directory, name, { flags: O_NONBLOCK | O_NOFOLLOW }))
    if ((fstat(fd).mode & S_IFMT) !== S_IFREG) return undefined
    const chunks: Buffer[] = []
    for (let left = limit; left > 0;) {
      const chunk = readFd(fd, Math.min(left, 65536))
      if (chunk === undefined || chunk.length === 0) break
      chunks.push(chunk)
      left -= chunk.length
    }
    return Buffer.concat(chunks)
  }

  close(): void {
    for (const fd of this.#open.splice(0)) closeFd(fd)
  }

  /** The layer's directory and the name in it of the regular file that `path` leads to. */
  #resolve(path: string): { directory: number; name: Buffer } | undefined {
    const todo = split(Buffer.from(path))
    let stack: Merged[] = [this.#root]
    for (let links = 0, steps = 0; ;) {
      const name = todo.shift()
      if (name === undefined || ++steps > maxComponents) return undefined
      if (name.equals(dotDot)) {
        if (stack.length > 1) stack.pop()
        continue
      }
      const found = this.#lookUp(stack.at(-1)!, name)
      if (found === undefined) return undefined
      switch (found.type) {
        case S_IFDIR:
          stack.push(found.merged)
          continue
        case S_IFREG:
          return todo.length === 0 ? { directory: found.directory, name } : undefined
        case S_IFLNK: {
          if (++links > maxLinks) return undefined
          const target = readlinkat(found.fd, '')
          if (target[0] === 0x2f) stack = [this.#root]
          todo.unshift(...split(target))
          continue
        }
        default:
          return undefined
      }
    }
  }

  /** One name in a merged directory: the topmost layer that has it decides, and directories are merged. */
  #lookUp(merged: Merged, name: Buffer): Found | undefined {
    const directories: number[] = []
    for (const directory of merged) {
      const fd = this.#openEntry(directory, name)
      if (fd === undefined) continue
      const stat = fstat(fd)
      const type = stat.mode & S_IFMT
      if (type !== S_IFDIR) {
        // Below a directory, a whiteout or a file ends the merge; at the top they are the answer.
        if (directories.length > 0) break
        // A file of which only the owner or mode was changed may have its data in a layer below.
        if (type === S_IFREG && fgetxattr(fd, 'trusted.overlay.metacopy') !== undefined) continue
        return isWhiteout(stat) ? undefined : { type, directory, fd, merged: [] }
      }
      directories.push(fd)
      refuseRedirect(fd, name)
      if (fgetxattr(fd, opaqueAttribute)?.toString() === 'y') break
    }
    if (directories.length === 0) return undefined
    return { type: S_IFDIR, directory: merged[0]!, fd: directories[0]!, merged: directories }
  }

  #openEntry(directory: number, name: Buffer): number | undefined {
    try {
      return this.#keep(openat2(directory, name, { flags: O_PATH | O_NOFOLLOW }))
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENAMETOOLONG')) return undefined
      throw error
    }
  }

  #keep(fd: number): number {
    this.#open.push(fd)
    return fd
  }
}

interface Found {
  type: number
  /** The layer's directory that the answer is in. */
  directory: number
  /** O_PATH descriptor of the entry itself. */
  fd: number
  merged: Merged
}

const dotDot = Buffer.from('..')

/** With overlay's `redirect_dir`, which we don't use, a renamed directory's lower part lies under another name. */
function refuseRedirect(fd: number, name: Buffer): void {
  if (fgetxattr(fd, 'trusted.overlay.redirect') === undefined) return
  throw new HoldfastError('HF_UNSUPPORTED', `the directory ${printable(name)} was renamed by overlay`, {
    hint: 'Mount with redirect_dir=off: /sys/module/overlay/parameters/redirect_dir has the default.',
    details: { field: 'redirect_dir' },
  })
}

function split(path: Buffer): Buffer[] {
  return path
    .toString('latin1')
    .split('/')
    .filter((component) => component !== '' && component !== '.')
    .map((component) => Buffer.from(component, 'latin1'))
}
