import {
  mkdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { closeFd } from '../src/descriptor.ts'
import { fstat, mkdirat, readdir } from '../src/file.ts'
import {
  fsconfigCreate,
  fsconfigFd,
  fsconfigString,
  fsmount,
  fsopen,
  mountSetattr,
  moveMount,
  openTree,
  umount,
  MNT_DETACH,
  MOUNT_ATTR_IDMAP,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  OPEN_TREE_CLONE,
} from '../src/mount.ts'
import { createUserNamespace } from '../src/namespace.ts'
import { AT_FDCWD, O_CREAT, O_DIRECTORY, O_PATH, O_WRONLY, openat2 } from '../src/path.ts'
import { describeAsRoot, mountsUnder, scratch } from './as-root.ts'

/** statfs(2): the magic number of the file system that the descriptor lies on. */
function fileSystemOf(fd: number): number {
  return statfsSync(`/proc/self/fd/${fd}`).type
}

const TMPFS_MAGIC = 0x0102_1994
const OVERLAYFS_SUPER_MAGIC = 0x794c_7630

/** A detached tmpfs. */
function tmpfs(attributes = 0): number {
  const context = fsopen('tmpfs')
  fsconfigString(context, 'size', '1m')
  fsconfigCreate(context)
  const mount = fsmount(context, attributes)
  closeFd(context)
  return mount
}

describeAsRoot('mounts by descriptor', () => {
  it('mounts where the descriptor lies, not where a path leads by then', () => {
    using dir = scratch()
    const [target, canary] = [join(dir.path, 'target'), join(dir.path, 'canary')]
    mkdirSync(target)
    mkdirSync(canary)
    const mount = tmpfs(MOUNT_ATTR_NODEV)
    const pinned = openat2(AT_FDCWD, target, { flags: O_PATH | O_DIRECTORY })
    renameSync(target, `${target}.moved`)
    symlinkSync('canary', target)
    moveMount(mount, pinned, target)
    expect(mountsUnder(dir.path)).toEqual([`${target}.moved`])
    umount(`${target}.moved`, MNT_DETACH)
    closeFd(mount)
    closeFd(pinned)
  })

  it('does not follow a link to unmount', () => {
    using dir = scratch()
    symlinkSync('/proc', join(dir.path, 'link'))
    expect(() => umount(join(dir.path, 'link'))).toThrow(/EINVAL/)
  })

  it('changes attributes and propagation of a detached tree', () => {
    const mount = tmpfs()
    expect(fileSystemOf(mount)).toBe(TMPFS_MAGIC)
    mountSetattr(mount, '', 0, { set: MOUNT_ATTR_RDONLY, propagation: MS_PRIVATE })
    expect(() => openat2(mount, 'file', { flags: O_CREAT | O_WRONLY, mode: 0o600 })).toThrow(/EROFS/)
    mountSetattr(mount, '', 0, { clear: MOUNT_ATTR_RDONLY })
    closeFd(openat2(mount, 'file', { flags: O_CREAT | O_WRONLY, mode: 0o600 }))
    closeFd(mount)
  })

  it('shifts owners by an idmapped clone, also as a layer of an overlay', () => {
    using dir = scratch()
    for (const layer of ['a', 'b']) {
      mkdirSync(join(dir.path, layer))
      writeFileSync(join(dir.path, layer, layer), layer)
    }
    const range = [{ containerID: 0, hostID: 0x7abc_0000, size: 65536 }]
    const userns = createUserNamespace({ uid: range, gid: range })
    const context = fsopen('overlay')
    const clones = ['a', 'b'].map((layer) => {
      const clone = openTree(AT_FDCWD, join(dir.path, layer), OPEN_TREE_CLONE)
      mountSetattr(clone, '', 0, { set: MOUNT_ATTR_IDMAP, usernsFd: userns })
      fsconfigFd(context, 'lowerdir+', clone)
      return clone
    })
    expect(fstat(clones[0]!).uid).toBe(0x7abc_0000)
    fsconfigCreate(context)
    const overlay = fsmount(context)
    expect(fileSystemOf(overlay)).toBe(OVERLAYFS_SUPER_MAGIC)
    expect(statSync(`/proc/self/fd/${overlay}/a`).uid).toBe(0x7abc_0000)
    expect(readFileSync(`/proc/self/fd/${overlay}/b`, 'utf8')).toBe('b')
    for (const fd of [overlay, context, userns, ...clones]) closeFd(fd)
  })

  it("passes the kernel's own words on as the hint", () => {
    const context = fsopen('overlay')
    let caught: unknown
    try {
      fsconfigString(context, 'no_such_option', 'x')
    } catch (error) {
      caught = error
    }
    expect(caught).toMatchObject({ code: 'EINVAL', syscall: 'fsconfig', path: 'no_such_option' })
    expect((caught as { hint: string }).hint).toMatch(/no_such_option/)
    closeFd(context)
    expect(() => fsopen('nosuchfs')).toThrow(/ENODEV/)
  })

  it('reads a directory of a detached mount', () => {
    const mount = tmpfs()
    mkdirat(mount, Buffer.from([0x61, 0xff]), 0o755)
    const dir = openat2(mount, '.', { flags: O_DIRECTORY })
    expect(readdir(dir)).toEqual([Buffer.from([0x61, 0xff])])
    expect(readdir(dir)).toHaveLength(1)
    closeFd(dir)
    closeFd(mount)
  })
})
