import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { closeFd, writeFd } from '../src/descriptor.ts'
import {
  fchmodat,
  fchownat,
  fstat,
  fstatat,
  linkat,
  mkdirat,
  mknodat,
  readdir,
  readlinkat,
  renameat2,
  symlinkat,
  unlinkat,
  utimensat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFCHR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../src/file.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_SYMLINKS,
  openat2,
} from '../src/path.ts'
import { fgetxattr, flistxattr, fsetxattr, lgetxattrat, llistxattrat, lsetxattrat } from '../src/xattr.ts'
import { describeAsRoot, scratch } from './as-root.ts'

function opened(): { path: string; fd: number } & Disposable {
  const dir = scratch()
  const fd = openat2(AT_FDCWD, dir.path, { flags: O_DIRECTORY })
  return {
    path: dir.path,
    fd,
    [Symbol.dispose]() {
      closeFd(fd)
      dir[Symbol.dispose]()
    },
  }
}

const make = (dirfd: number, name: string | Buffer, content = '') => {
  const fd = openat2(dirfd, name, { flags: O_CREAT | O_EXCL | O_WRONLY, mode: 0o600 })
  writeFd(fd, content)
  closeFd(fd)
}

describeAsRoot('files on directory descriptors', () => {
  it('keeps lookups inside', () => {
    using dir = opened()
    mkdirSync(join(dir.path, 'etc'))
    writeFileSync(join(dir.path, 'etc/passwd'), 'ours')
    symlinkSync('/etc/passwd', join(dir.path, 'absolute'))
    symlinkSync('../../../../etc/passwd', join(dir.path, 'upward'))
    for (const name of ['absolute', 'upward', '../../etc/passwd', '/etc/passwd']) {
      const fd = openat2(dir.fd, name, { resolve: RESOLVE_IN_ROOT })
      expect(fstat(fd).ino).toBe(fstatat(dir.fd, 'etc/passwd').ino)
      closeFd(fd)
    }
    expect(() => openat2(dir.fd, 'absolute', { resolve: RESOLVE_BENEATH })).toThrow(/EXDEV/)
    expect(() => openat2(dir.fd, 'absolute', { resolve: RESOLVE_NO_SYMLINKS })).toThrow(/ELOOP/)
  })

  it('makes and reads nodes of every kind', () => {
    using dir = opened()
    mkdirat(dir.fd, 'd', 0o755)
    mknodat(dir.fd, 'null', S_IFCHR | 0o666, 1, 3)
    mknodat(dir.fd, 'big', S_IFCHR | 0o600, 0xfff, 0xf_ffff)
    mknodat(dir.fd, 'fifo', S_IFIFO | 0o600)
    symlinkat(Buffer.from([0x2f, 0xff]), dir.fd, 'link')
    make(dir.fd, Buffer.from([0xfe]), 'content')
    expect(fstatat(dir.fd, 'null').rdev).toEqual({ major: 1, minor: 3 })
    expect(fstatat(dir.fd, 'big').rdev).toEqual({ major: 0xfff, minor: 0xf_ffff })
    expect(fstatat(dir.fd, 'link').mode & S_IFMT).toBe(S_IFLNK)
    expect(fstatat(dir.fd, Buffer.from([0xfe]))).toMatchObject({ size: 7, mode: S_IFREG | 0o600, nlink: 1 })
    expect(readlinkat(dir.fd, 'link')).toEqual(Buffer.from([0x2f, 0xff]))
    expect(
      readdir(dir.fd)
        .map((name) => name.toString('latin1'))
        .sort(),
    ).toEqual(['big', 'd', 'fifo', 'link', 'null', '\xfe'].sort())
  })

  it('links, renames and removes', () => {
    using dir = opened()
    make(dir.fd, 'a', 'a')
    symlinkat('a', dir.fd, 'to-a')
    linkat(dir.fd, 'to-a', dir.fd, 'link-to-link')
    expect(fstatat(dir.fd, 'link-to-link').mode & S_IFMT).toBe(S_IFLNK)
    const fd = openat2(dir.fd, 'a', { flags: O_PATH | O_NOFOLLOW })
    linkat(fd, '', dir.fd, 'b', AT_EMPTY_PATH)
    expect(fstatat(dir.fd, 'b')).toMatchObject({ nlink: 2, ino: fstat(fd).ino })
    closeFd(fd)
    expect(() => renameat2(dir.fd, 'a', dir.fd, 'b', RENAME_NOREPLACE)).toThrow(/EEXIST/)
    renameat2(dir.fd, 'a', dir.fd, 'to-a', RENAME_EXCHANGE)
    expect(fstatat(dir.fd, 'a').mode & S_IFMT).toBe(S_IFLNK)
    for (const name of ['a', 'b', 'to-a', 'link-to-link']) unlinkat(dir.fd, name)
    mkdirat(dir.fd, 'd', 0o700)
    expect(() => unlinkat(dir.fd, 'd')).toThrow(/EISDIR/)
    unlinkat(dir.fd, 'd', AT_REMOVEDIR)
    expect(readdir(dir.fd)).toEqual([])
  })

  it('changes mode, owner and times of the entry itself, never of what a link points to', () => {
    using dir = opened()
    make(dir.fd, 'victim')
    symlinkat('victim', dir.fd, 'link')
    const before = fstatat(dir.fd, 'victim')
    expect(() => fchmodat(dir.fd, 'link', 0o777)).toThrow(/ENOTSUP/)
    fchownat(dir.fd, 'link', 1000, 2 ** 31)
    utimensat(dir.fd, 'link', { atimeNs: 0n, mtimeNs: 1_234_567_890_123_456_789n })
    expect(fstatat(dir.fd, 'victim')).toEqual(before)
    expect(fstatat(dir.fd, 'link')).toMatchObject({
      uid: 1000,
      gid: 2 ** 31,
      mtimeNs: 1_234_567_890_123_456_789n,
    })
    const fd = openat2(dir.fd, 'victim', { flags: O_PATH })
    fchmodat(fd, '', 0o4755)
    fchownat(fd, '', 5, 6)
    utimensat(fd, '', { atimeNs: -1n, mtimeNs: -1n })
    expect(fstat(fd)).toMatchObject({ uid: 5, gid: 6, mtimeNs: -1n })
    closeFd(fd)
    expect(statSync(join(dir.path, 'victim')).mode & 0o7777).toBe(0o755) // chown takes setuid away
    fchmodat(dir.fd, 'victim', 0o4711)
    expect(fstatat(dir.fd, 'victim').mode & 0o7777).toBe(0o4711)
  })

  it('sets and reads extended attributes by O_PATH descriptor, of links themselves too', () => {
    using dir = opened()
    make(dir.fd, 'file')
    const fd = openat2(dir.fd, 'file', { flags: O_PATH })
    expect(fgetxattr(fd, 'trusted.x')).toBeUndefined()
    fsetxattr(fd, 'trusted.x', Buffer.alloc(1000, 7))
    fsetxattr(fd, 'user.empty', Buffer.alloc(0))
    expect(fgetxattr(fd, 'trusted.x')).toEqual(Buffer.alloc(1000, 7))
    expect(fgetxattr(fd, 'user.empty')).toHaveLength(0)
    expect(flistxattr(fd).sort()).toEqual(['trusted.x', 'user.empty'])
    symlinkat('file', dir.fd, 'link')
    lsetxattrat(dir.fd, 'link', 'trusted.link', Buffer.from('l'))
    expect(llistxattrat(dir.fd, 'link')).toEqual(['trusted.link'])
    expect(lgetxattrat(dir.fd, 'link', 'trusted.link')?.toString()).toBe('l')
    closeFd(fd)
  })
})
