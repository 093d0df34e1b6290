import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { closeFd } from '../src/descriptor.ts'
import { umount, MNT_DETACH } from '../src/mount.ts'
import {
  bindNamespace,
  createNamespace,
  createUserNamespace,
  namespaceFlags,
  namespaceInode,
  namespaceOwner,
  namespaceOwnerUid,
  namespaceParent,
  namespaceType,
  openNamespace,
  openNamespaceByProc,
  openNamespaceOf,
  type NamespaceType,
} from '../src/namespace.ts'
import { pidfdOpen, pidOfPidfd } from '../src/pidfd.ts'
import { describeAsRoot, mountsUnder, scratch } from './as-root.ts'

const range = [{ containerID: 0, hostID: 0x7abc_0000, size: 65536 }]
const inodeOf = (link: string) => Number(/\[(\d+)\]/.exec(readlinkSync(link))![1])

describeAsRoot('namespaces', () => {
  it("finds each of a process's namespaces, of the right type and identity", async () => {
    const child = spawn('sleep', ['100'])
    const pidfd = pidfdOpen(child.pid!)
    for (const type of Object.keys(namespaceFlags) as NamespaceType[]) {
      const fd = openNamespaceOf(child.pid!, type)
      expect(namespaceType(fd)).toBe(type)
      const older = openNamespaceByProc(pidfd, type, pidOfPidfd(pidfd))
      const inodes = [fd, older].map(namespaceInode)
      expect(inodes).toEqual(inodes.map(() => inodeOf(`/proc/${child.pid}/ns/${type}`)))
      closeFd(fd)
      closeFd(older)
    }
    child.kill()
    await once(child, 'exit')
    expect(() => pidOfPidfd(pidfd)).toThrow(/ESRCH/)
    expect(() => openNamespaceByProc(pidfd, 'net', process.pid)).toThrow(/ESRCH/)
    closeFd(pidfd)
    expect(() => openNamespaceOf(child.pid!, 'net')).toThrow(/ESRCH/)
  })

  it('makes a user namespace with its maps, and leaves no process and no descriptor behind', () => {
    const before = readdirSync('/proc/self/fd').length
    const fd = createUserNamespace({ uid: range, gid: range })
    expect(namespaceType(fd)).toBe('user')
    expect(namespaceOwnerUid(fd)).toBe(0)
    const parent = namespaceParent(fd)
    expect(namespaceInode(parent)).toBe(inodeOf('/proc/self/ns/user'))
    closeFd(parent)
    closeFd(fd)
    expect(readdirSync('/proc/self/fd')).toHaveLength(before)
  })

  it('refuses maps that overlap, and leaves nothing behind', () => {
    const before = readdirSync('/proc/self/fd').length
    expect(() => createUserNamespace({ uid: [...range, ...range], gid: range })).toThrow(/EINVAL/)
    expect(readdirSync('/proc/self/fd')).toHaveLength(before)
  })

  it.each(['net', 'ipc', 'uts', 'mnt', 'cgroup', 'time'] as const)(
    'makes a %s namespace with nobody in it',
    (type) => {
      const userns = createUserNamespace({ uid: range, gid: range })
      const fd = createNamespace(type, userns)
      expect(namespaceType(fd)).toBe(type)
      expect(namespaceInode(fd)).not.toBe(inodeOf(`/proc/self/ns/${type}`))
      const owner = namespaceOwner(fd)
      expect(namespaceInode(owner)).toBe(namespaceInode(userns))
      for (const each of [owner, fd, userns]) closeFd(each)
      // Ours has not changed.
      expect(readlinkSync(`/proc/self/ns/${type}`)).toBe(readlinkSync(`/proc/${process.ppid}/ns/${type}`))
    },
  )

  it('refuses a pid namespace, and says why', () => {
    expect(() => createNamespace('pid')).toThrow('a pid namespace cannot be held once its init is gone')
  })

  it('keeps a namespace on a file, and opens it by that path', () => {
    using dir = scratch()
    const path = join(dir.path, 'net')
    writeFileSync(path, '')
    const fd = createNamespace('net')
    const inode = namespaceInode(fd)
    bindNamespace(fd, path)
    closeFd(fd)
    try {
      const again = openNamespace(path)
      expect([namespaceType(again), namespaceInode(again)]).toEqual(['net', inode])
      closeFd(again)
    } finally {
      umount(path, MNT_DETACH)
    }
    expect(mountsUnder(dir.path)).toEqual([])
    expect(() => openNamespace(path)).toThrow(/is not a namespace/)
  })
})
