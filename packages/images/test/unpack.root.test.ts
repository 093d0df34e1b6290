import { execFileSync } from 'node:child_process'
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  AT_FDCWD,
  closeFd,
  fgetxattr,
  flistxattr,
  lgetxattrat,
  lsetxattrat,
  O_NOFOLLOW,
  O_PATH,
  openat2,
} from '@holdfast/core'
import { temporaryDirectory } from '@holdfast/testkit'
import { StoreDirectories } from '../src/directories.ts'
import { LayerStore } from '../src/layers.ts'
import {
  padded,
  paxRecord,
  tarHeader,
  withChecksum,
  writeTar,
  type TarSource,
} from '../src/tar/writer.test-support.ts'

const isRoot = process.getuid?.() === 0

let directory: string
let layers: LayerStore
let cleanUp: () => void

beforeEach(() => {
  const temporary = temporaryDirectory()
  directory = temporary.path
  cleanUp = () => temporary[Symbol.dispose]()
  const directories = new StoreDirectories(join(directory, 'store'))
  directories.create()
  layers = new LayerStore(directories)
})

afterEach(() => cleanUp())

async function* chunksOf(archive: Buffer, size = 65536): AsyncGenerator<Buffer> {
  for (let at = 0; at < archive.length; at += size) yield archive.subarray(at, at + size)
}

/** Unpacks and commits; returns the path of the files. */
async function unpack(archive: Buffer, below: string[] = []): Promise<string> {
  const layer = await layers.unpack(chunksOf(archive), below)
  return layers.diff(layers.commit(layer, below.at(-1)))
}

const unpackFiles = (...sources: TarSource[]) => unpack(writeTar(sources))
const corrupt = (message: string) =>
  expect.objectContaining({ code: 'HF_CORRUPT_LAYER', message: expect.stringContaining(message) })
const sh = (script: string, cwd = directory) =>
  execFileSync('sh', ['-euc', script], { cwd, maxBuffer: 1 << 28 })

/** Everything that tar keeps of a tree, one line for each file. */
function metadata(root: string): string[] {
  const format = '%P|%y|%m|%U|%G|%T@|%l|%n\\0'
  const files = sh(`find . -printf '${format}'`, root).toString('latin1').split('\0').filter(Boolean)
  const sizes = sh(`find . -type f -printf '%P|%s\\0'`, root).toString('latin1').split('\0').filter(Boolean)
  const sums = sh(`find . -type f -print0 | sort -z | xargs -0r sha256sum -z`, root)
    .toString('latin1')
    .split('\0')
  const devices = sh(`find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} +`, root)
    .toString()
    .split('\n')
  return [...files.sort(), ...sizes.sort(), ...sums, ...devices.sort(), ...xattrs(root)]
}

/** `path name=value` of every file and directory that has attributes. */
function xattrs(root: string): string[] {
  const paths = sh(`find . \\( -type f -o -type d \\) -print0`, root)
    .toString('latin1')
    .split('\0')
    .filter(Boolean)
  const all = paths.flatMap((path) => {
    const fd = openat2(AT_FDCWD, Buffer.from(`${root}/${path}`, 'latin1'), { flags: O_PATH | O_NOFOLLOW })
    try {
      return flistxattr(fd).map((name) => `${path} ${name}=${fgetxattr(fd, name)!.toString('hex')}`)
    } finally {
      closeFd(fd)
    }
  })
  return all.sort()
}

describe.skipIf(!isRoot)('unpacking like GNU tar', () => {
  const tree = `
    mkdir -p tree/bin tree/etc/deep/er tree/tmp tree/dev
    cp /bin/busybox tree/bin/busybox
    for name in sh ls cat; do ln tree/bin/busybox tree/bin/$name; done
    ln -s busybox tree/bin/link; ln -s /etc/passwd tree/etc/absolute; ln -s ../../nowhere tree/etc/dangling
    echo root:x:0:0 > tree/etc/passwd; : > tree/etc/empty
    chmod 4755 tree/bin/busybox; chmod 1777 tree/tmp; chmod 2755 tree/etc/deep; chmod 000 tree/etc/empty
    touch tree/etc/deep/er/file; chown 1000:70000 tree/etc/deep/er/file; chown 2147483647:5 tree/etc/empty
    chown -h 12:34 tree/bin/link
    mknod tree/dev/null c 1 3; mknod tree/dev/disk b 259 1048575; mkfifo -m 640 tree/dev/fifo; chmod 666 tree/dev/null
    dd if=/dev/urandom of=tree/sparse bs=4096 count=1 seek=1000 2>/dev/null; truncate -s 8M tree/sparse
    printf x > "$(printf 'tree/latin-\\351-\\377')"
    printf x > tree/$(printf 'n%.0s' $(seq 200)); printf y > tree/spaced\\ name
    @ATTRIBUTES@
    touch -d '2001-02-03 04:05:06.789' tree/etc/passwd; touch -d '1965-01-01' tree/etc/empty
    touch -h -d '2010-10-10 10:10:10' tree/bin/link; touch -d '2030-01-01' tree/etc/deep tree/etc tree/bin tree`

  const set = (path: string, name: string, value: Buffer) =>
    lsetxattrat(AT_FDCWD, join(directory, 'tree', path), name, value)

  it.each(['--format=pax', '--format=gnu', '--format=pax --sparse', '--format=gnu --sparse'])(
    'makes the same tree, with all metadata: %s',
    async (format) => {
      const gnu = format.includes('gnu') ? '' : '--xattrs --xattrs-include=*'
      const [files, times] = tree.split('@ATTRIBUTES@')
      sh(files!)
      set('etc/passwd', 'user.note', Buffer.from('value'))
      set('etc/deep', 'user.dir', Buffer.from([0, 10, 61]))
      set('bin/sh', 'security.capability', Buffer.from('0100000200200000000000000000000000000000', 'hex'))
      sh(`${times}
        tar -C tree ${format} ${gnu} --numeric-owner -cf archive.tar .
        mkdir expected && tar -C expected --numeric-owner ${gnu} -xpf archive.tar`)
      const diff = await unpack(readFileSync(join(directory, 'archive.tar')))
      expect(metadata(diff)).toEqual(metadata(join(directory, 'expected')))
      if (format.includes('sparse')) expect(statSync(join(diff, 'sparse')).blocks).toBeLessThan(100)
    },
  )

  it('reads gzip, concatenated gzip, zstd, concatenated zstd and skippable frames as the plain archive', async () => {
    const plain = writeTar([
      { name: 'a', data: Buffer.alloc(300_000, 'abc') },
      { name: 'b', data: 'b' },
    ])
    const [head, tail] = [plain.subarray(0, 100_000), plain.subarray(100_000)]
    const expected = (await layers.unpack(chunksOf(plain), [])).diffId
    const skippable = Buffer.from('502a4d1804000000abcdabcd', 'hex')
    const forms: [Buffer, string][] = [
      [gzipSync(plain), 'gzip'],
      [Buffer.concat([gzipSync(head), gzipSync(tail)]), 'gzip'],
      [zstdCompressSync(plain), 'zstd'],
      [Buffer.concat([zstdCompressSync(head), zstdCompressSync(tail)]), 'zstd'],
      [
        Buffer.concat([skippable, zstdCompressSync(head), skippable, zstdCompressSync(tail), skippable]),
        'zstd',
      ],
    ]
    for (const [archive, compression] of forms) {
      for (const size of [65536, 3]) {
        const layer = await layers.unpack(chunksOf(archive, size), [], expected)
        expect(layer).toMatchObject({ diffId: expected, compression, size: 300_001 })
      }
    }
  })

  it('says how much there is and the highest id', async () => {
    const archive = writeTar([
      { name: 'a', data: 'hello', uid: 70_000 },
      { name: 'd/', type: 'directory', gid: 90_000 },
      { name: 'l', type: 'symlink', linkName: 'a', uid: 5 },
    ])
    expect(await layers.unpack(chunksOf(archive), [])).toMatchObject({ size: 6, maxId: 90_000 })
  })

  it('names the digest that it expected and the one it got', async () => {
    const expected = `sha256:${'0'.repeat(64)}`
    await expect(layers.unpack(chunksOf(writeTar([{ name: 'a' }])), [], expected)).rejects.toMatchObject({
      code: 'HF_DIGEST_MISMATCH',
      details: { expected, actual: expect.stringMatching(/^sha256:[a-f0-9]{64}$/) },
    })
  })
})

describe.skipIf(!isRoot)('unpacking over what is there', () => {
  it('merges directories, replaces everything else, and lets the last entry win', async () => {
    const diff = await unpackFiles(
      { name: 'd', type: 'directory', mode: 0o700 },
      { name: 'd/kept', data: 'kept' },
      { name: 'd/', type: 'directory', mode: 0o711, uid: 7 },
      { name: 'f', data: 'long content', mode: 0o755 },
      { name: 'f', data: 'new' },
      { name: 'tree/a/b/c', data: 'x' },
      { name: 'tree', data: 'a file now' },
      { name: 'link', type: 'symlink', linkName: 'f' },
      { name: 'link', data: 'no link' },
      { name: 'back', data: 'file' },
      { name: 'back/', type: 'directory' },
      { name: 'back/in', data: 'in' },
    )
    expect(statSync(join(diff, 'd'))).toMatchObject({ mode: 0o40711, uid: 7 })
    expect(readFileSync(join(diff, 'd/kept'), 'utf8')).toBe('kept')
    expect(readFileSync(join(diff, 'f'), 'utf8')).toBe('new')
    expect(readFileSync(join(diff, 'tree'), 'utf8')).toBe('a file now')
    expect(readFileSync(join(diff, 'link'), 'utf8')).toBe('no link')
    expect(readFileSync(join(diff, 'back/in'), 'utf8')).toBe('in')
  })

  it('replaces a file without touching the other names of its inode', async () => {
    const diff = await unpackFiles(
      { name: 'a', data: 'first' },
      { name: 'b', type: 'hardlink', linkName: 'a' },
      { name: 'a', data: 'second' },
      { name: 'b', type: 'hardlink', linkName: './b' },
    )
    expect([readFileSync(join(diff, 'a'), 'utf8'), readFileSync(join(diff, 'b'), 'utf8')]).toEqual([
      'second',
      'first',
    ])
  })

  it('goes through symbolic links to directories of the layer, as a container would', async () => {
    const diff = await unpackFiles(
      { name: 'usr/lib/', type: 'directory' },
      { name: 'lib', type: 'symlink', linkName: '/usr/lib' },
      { name: 'lib64', type: 'symlink', linkName: '../../../../usr/lib' },
      { name: 'lib/one', data: '1' },
      { name: 'lib64/two', data: '2' },
    )
    expect(readdirSync(join(diff, 'usr/lib')).sort()).toEqual(['one', 'two'])
  })

  it('makes missing parents look as in the layer below', async () => {
    const lower = await layers.unpack(
      chunksOf(
        writeTar([
          { name: 'tmp/', type: 'directory', mode: 0o1777, uid: 5, mtime: { seconds: 1000, nanoseconds: 5 } },
        ]),
      ),
      [],
    )
    const below = layers.commit(lower, undefined)
    const diff = await unpack(writeTar([{ name: 'tmp/file' }, { name: 'other/file' }]), [below])
    expect(statSync(join(diff, 'tmp'), { bigint: true })).toMatchObject({
      mode: 0o41777n,
      uid: 5n,
      mtimeNs: 1000_000_000_005n,
    })
    expect(statSync(join(diff, 'other')).mode).toBe(0o40755)
  })
})

describe.skipIf(!isRoot)('whiteouts', () => {
  const opaque = (path: string) => lgetxattrat(AT_FDCWD, path, 'trusted.overlay.opaque')?.toString()
  const isWhiteout = (path: string) => lstatSync(path).isCharacterDevice() && lstatSync(path).rdev === 0

  it('become what overlay takes for them', async () => {
    const diff = await unpackFiles({ name: 'd/.wh.gone' }, { name: '.wh.top' }, { name: 'e/.wh..wh..opq' })
    expect(isWhiteout(join(diff, 'd/gone'))).toBe(true)
    expect(isWhiteout(join(diff, 'top'))).toBe(true)
    expect(opaque(join(diff, 'e'))).toBe('y')
    expect(readdirSync(join(diff, 'e'))).toEqual([])
  })

  it('hide the layers below and not what is in the same layer, before or after', async () => {
    const diff = await unpackFiles(
      { name: 'file', data: 'x' },
      { name: '.wh.file' },
      { name: '.wh.later' },
      { name: 'later', data: 'y' },
      { name: 'dir/in', data: 'z' },
      { name: '.wh.dir' },
      { name: '.wh.newdir' },
      { name: 'newdir/', type: 'directory' },
      { name: '.wh.implied' },
      { name: 'implied/in', data: 'i' },
    )
    expect(readFileSync(join(diff, 'file'), 'utf8')).toBe('x')
    expect(readFileSync(join(diff, 'later'), 'utf8')).toBe('y')
    expect(readFileSync(join(diff, 'dir/in'), 'utf8')).toBe('z')
    expect(readFileSync(join(diff, 'implied/in'), 'utf8')).toBe('i')
    expect([opaque(join(diff, 'dir')), opaque(join(diff, 'newdir')), opaque(join(diff, 'implied'))]).toEqual([
      'y',
      'y',
      'y',
    ])
  })

  it('leave out the records of aufs', async () => {
    const diff = await unpackFiles(
      { name: '.wh..wh.aufs' },
      { name: '.wh..wh.plnk/', type: 'directory' },
      { name: '.wh..wh.plnk/1.2', data: 'x' },
      { name: 'a' },
    )
    expect(readdirSync(diff)).toEqual(['a'])
  })
})

describe.skipIf(!isRoot)('hostile archives', () => {
  /** A directory beside the store that every archive here tries to reach or change. */
  let canary: string
  let before: string[]

  beforeEach(() => {
    canary = join(directory, 'canary')
    mkdirSync(canary)
    writeFileSync(join(canary, 'secret'), 'untouched', { mode: 0o600 })
    before = metadata(canary)
  })

  const file = (name: string): TarSource => ({ name, data: 'owned' })
  const link = (name: string, linkName: string): TarSource => ({ name, type: 'symlink', linkName })
  const hard = (name: string, linkName: string): TarSource => ({ name, type: 'hardlink', linkName })
  const up = '../'.repeat(12)
  const xattr = (key: string) => new Map([[key, Buffer.from('y')]])
  const raw = (edit: (header: Buffer) => void) => {
    const header = tarHeader({ name: Buffer.from('f'), flag: '0', size: 0, mode: 0o4755 })
    edit(header)
    return Buffer.concat([withChecksum(header), Buffer.alloc(1024)])
  }
  const withPax = (record: Buffer, name = 'f') =>
    Buffer.concat([
      tarHeader({ name: Buffer.from('p'), flag: 'x', size: record.length }),
      padded(record),
      writeTar([file(name)]),
    ])

  const refused: [string, (canary: string) => TarSource[] | Buffer, string][] = [
    ['a path that climbs out', () => [file('../escaped')], '".." in a path'],
    ['a path that climbs out further down', () => [file('a/b/../../../escaped')], '".." in a path'],
    ['a path that climbs and stays', () => [file('a/../b')], '".." in a path'],
    ['a hard link that climbs out', (c) => [hard('h', `${up}${c}/secret`)], '".." in a path'],
    ['a hard link to an absolute path', (c) => [hard('h', `${c}/secret`)], 'not in this layer'],
    [
      'a hard link through a link that climbs out',
      (c) => [link('l', `${up}${c}`), hard('h', 'l/secret')],
      'not in this layer',
    ],
    [
      'a hard link through an absolute link',
      (c) => [link('l', c), hard('h', 'l/secret')],
      'not in this layer',
    ],
    ['a hard link to a directory', () => [{ name: 'd', type: 'directory' }, hard('h', 'd')], 'no file'],
    ['a hard link to the root', () => [hard('h', '/')], 'no file'],
    ['a hard link to a later file', () => [hard('h', 'later'), file('later')], 'not in this layer'],
    ['a hard link to a whiteout', () => [file('.wh.gone'), hard('h', 'gone')], 'no file'],
    ["a hard link to a whiteout's name", () => [hard('h', '.wh.gone')], 'no file'],
    [
      'a hard link over the directory of its target',
      () => [file('a/f'), hard('a', 'a/f')],
      'invalid tar archive',
    ],
    ['a file below a link to nowhere', (c) => [link('l', c), file('l/x')], 'a directory is needed'],
    [
      'a file below a relative link to nowhere',
      (c) => [link('l', `${up}${c}`), file('l/x')],
      'a directory is needed',
    ],
    [
      'a file below a chain of links',
      (c) => [link('a', c), link('b', 'a'), link('c', 'b'), file('c/x')],
      'a directory is needed',
    ],
    [
      'a file below links in a circle',
      () => [link('a', 'b'), link('b', 'a'), file('a/x')],
      'invalid tar archive',
    ],
    ['a file below a file', () => [file('f'), file('f/x')], 'a directory is needed'],
    [
      'a file below a device',
      () => [{ name: 'n', type: 'char', device: { major: 1, minor: 3 } }, file('n/x')],
      'a directory is needed',
    ],
    ['a file in place of the root', () => [file('/')], 'the root is no directory'],
    ['a link in place of the root', (c) => [link('.', c)], 'the root is no directory'],
    ['a whiteout of nothing', () => [file('.wh.')], 'hides no name'],
    ['a whiteout of its directory', () => [file('d/.wh..')], 'hides no name'],
    ['a whiteout of the parent directory', () => [file('d/.wh...')], 'hides no name'],
    ['a whiteout of a whiteout', () => [file('.wh..wh.x')], 'hides no name'],
    ['a whiteout used as a directory', () => [file('.wh.d/x')], 'used as a directory'],
    ['a whiteout that is a link', (c) => [link('.wh.x', c)], 'a whiteout that is a symlink'],
    [
      'a whiteout that is a directory',
      () => [{ name: '.wh.x', type: 'directory' }],
      'a whiteout that is a directory',
    ],
    ['a device 0:0', () => [{ name: 'n', type: 'char', device: { major: 0, minor: 0 } }], 'device 0:0'],
    [
      'an attribute of overlay',
      () => [{ ...file('f'), xattrs: xattr('trusted.overlay.opaque') }],
      'belongs to overlay',
    ],
    [
      'a redirect of overlay',
      () => [{ name: 'd', type: 'directory', xattrs: xattr('trusted.overlay.redirect') }],
      'belongs to overlay',
    ],
    [
      "a user's attribute of overlay",
      () => [{ ...file('f'), xattrs: xattr('user.overlay.whiteout') }],
      'belongs to overlay',
    ],
    [
      'a malformed file capability',
      () => [{ ...file('f'), xattrs: xattr('security.capability') }],
      'invalid tar archive',
    ],
    [
      'attributes larger than the file system takes',
      () => [{ ...file('f'), xattrs: new Map([['user.big', Buffer.alloc(60_000)]]) }],
      'no room for 60008 bytes',
    ],
    [
      'a uid of 2^32, which would wrap to root',
      () => withPax(paxRecord('uid', '4294967296')),
      'out of range',
    ],
    ['a uid of 2^31', () => raw((h) => Buffer.from('8000000080000000', 'hex').copy(h, 108)), 'out of range'],
    ['a gid of -1, which means "leave it"', () => raw((h) => h.fill(0xff, 116, 124)), 'out of range'],
    ['a NUL in a pax path', () => withPax(paxRecord('path', 'safe\0/../../x')), 'NUL'],
    ['a NUL in a pax link', () => withPax(paxRecord('linkpath', 'safe\0/../../x')), 'NUL'],
    ['a name longer than the kernel takes', () => [file('n'.repeat(300))], 'invalid tar archive'],
    ['a path longer than the kernel takes', () => [file('d/'.repeat(2100) + 'f')], 'too long'],
    ['a path of too many components', () => [file('d/'.repeat(1500) + 'f')], 'too deep'],
    ['an empty link', () => [link('l', '')], 'invalid tar archive'],
    ['data cut off', () => writeTar([file('f')]).subarray(0, 600), 'unexpected end'],
    ['gzip data cut off', () => gzipSync(writeTar([file('f')])).subarray(0, 50), 'invalid gzip data'],
    ['zstd data cut off', () => zstdCompressSync(writeTar([file('f')])).subarray(0, 30), 'invalid zstd data'],
    [
      'gzip data damaged',
      () => {
        const z = gzipSync(writeTar([file('f')]))
        z[20]! ^= 0xff
        return z
      },
      'invalid gzip data',
    ],
    ['what is no archive', () => Buffer.from('#!/bin/sh\n'.repeat(100)), 'invalid tar archive'],
  ]

  it.each(refused)('refuses %s', async (_what, make, message) => {
    const made = make(canary)
    await expect(unpack(Buffer.isBuffer(made) ? made : writeTar(made))).rejects.toThrow(corrupt(message))
    expect(metadata(canary)).toEqual(before)
    expect(readdirSync(join(directory)).sort()).toEqual(['canary', 'store'])
  })

  const contained: [string, (canary: string) => TarSource[], (diff: string, canary: string) => void][] = [
    [
      'an absolute path',
      (c) => [file(`${c}/new`)],
      (diff, c) => expect(readFileSync(join(diff, c, 'new'), 'utf8')).toBe('owned'),
    ],
    [
      'a link replaced by a file of its name',
      (c) => [link('l', `${c}/secret`), file('l')],
      (diff) => expect(readFileSync(join(diff, 'l'), 'utf8')).toBe('owned'),
    ],
    [
      'a hard link to a symbolic link, then a file over it',
      (c) => [link('l', `${c}/secret`), hard('h', 'l'), file('h')],
      (diff) => expect(readFileSync(join(diff, 'h'), 'utf8')).toBe('owned'),
    ],
    [
      'a hard link to a symbolic link, whose mode is not changed through it',
      (c) => [link('l', `${c}/secret`), { ...hard('h', 'l'), mode: 0o777, uid: 9 }],
      (diff, c) => expect(readlinkSync(join(diff, 'h'))).toBe(`${c}/secret`),
    ],
    [
      'a directory over a link to a directory',
      (c) => [link('d', c), { name: 'd', type: 'directory', mode: 0o777 }, file('d/secret')],
      (diff) => expect(lstatSync(join(diff, 'd')).isDirectory()).toBe(true),
    ],
    [
      'a directory made, filled, and swapped for a link',
      (c) => [{ name: 'd', type: 'directory' }, file('d/a'), link('d', c)],
      (diff, c) => expect(readlinkSync(join(diff, 'd'))).toBe(c),
    ],
    [
      'a link in the place of the parent just used, back to a directory of the layer',
      () => [file('d/a'), { name: 'e', type: 'directory' }, link('d', 'e'), file('d/b')],
      (diff) => expect(readdirSync(join(diff, 'e'))).toEqual(['b']),
    ],
    [
      'a whiteout of a link',
      (c) => [link('l', c), file('.wh.l'), file('l')],
      (diff) => expect(readFileSync(join(diff, 'l'), 'utf8')).toBe('owned'),
    ],
    [
      'an opaque mark below a link inside',
      () => [{ name: 'real', type: 'directory' }, link('l', 'real'), file('l/.wh..wh..opq')],
      (diff) => expect(readdirSync(join(diff, 'real'))).toEqual([]),
    ],
    [
      'times of a directory that became a link',
      (c) => [{ name: 'd', type: 'directory', mtime: { seconds: 1, nanoseconds: 0 } }, link('d', c)],
      (diff) => expect(lstatSync(join(diff, 'd')).isSymbolicLink()).toBe(true),
    ],
    [
      'labels and access lists of another machine',
      () => [
        {
          ...file('f'),
          xattrs: new Map([
            ['security.selinux', Buffer.from('x')],
            ['system.posix_acl_access', Buffer.from('x')],
          ]),
        },
      ],
      (diff) => expect(xattrs(diff)).toEqual([]),
    ],
    [
      'a file under a directory without permissions',
      () => [{ name: 'd', type: 'directory', mode: 0 }, file('d/f')],
      (diff) => expect(readdirSync(join(diff, 'd'))).toEqual(['f']),
    ],
    [
      'a setgid directory, whose group its files do not take',
      () => [{ name: 'd', type: 'directory', mode: 0o2777, gid: 77 }, file('d/f')],
      (diff) => expect(statSync(join(diff, 'd/f')).gid).toBe(0),
    ],
  ]

  it.each(contained)('keeps inside: %s', async (_what, make, check) => {
    const diff = await unpack(writeTar(make(canary)))
    check(diff, canary)
    expect(metadata(canary)).toEqual(before)
  })

  it('stops at the limit of bytes, however well they compress', async () => {
    const { Unpacker } = await import('../src/unpack/unpacker.ts')
    const { TarReader } = await import('../src/tar/reader.ts')
    for (const name of ['root', 'scratch']) mkdirSync(join(directory, name))
    const [root, scratch] = ['root', 'scratch'].map((name) => openat2(AT_FDCWD, join(directory, name), {}))
    const unpacker = new Unpacker({
      root: root!,
      scratch: scratch!,
      lower: [],
      limits: { bytes: 1000, depth: 10 },
    })
    const reader = new TarReader(unpacker)
    expect(() => reader.write(writeTar([{ name: 'f', data: Buffer.alloc(1001) }]))).toThrow(
      corrupt('more than 1000 bytes'),
    )
    unpacker.close()
    closeFd(root!)
    closeFd(scratch!)
  })

  it('closes every descriptor after a failure', async () => {
    const open = () => readdirSync('/proc/self/fd').length
    await unpack(writeTar([file('warm')]))
    const first = open()
    for (const [, make] of refused.slice(0, 20)) {
      const made = make(canary)
      await unpack(Buffer.isBuffer(made) ? made : writeTar(made)).catch(() => undefined)
    }
    expect(open()).toBe(first)
  })
})
