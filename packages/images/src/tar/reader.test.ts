import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync, truncateSync, openSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TarEntry, TarSink } from './entry.ts'
import { TarReader } from './reader.ts'
import {
  padded,
  paxRecord,
  tarHeader,
  tarRecord,
  withChecksum,
  writeTar,
  type TarSource,
} from './writer.test-support.ts'

type Found = TarEntry & { data: Buffer }

/** Reads an archive in pieces of `step` bytes; sparse files come out whole. */
function read(archive: Buffer, step = archive.length || 1): Found[] {
  const found: Found[] = []
  const sink: TarSink = {
    entry: (entry) => found.push({ ...entry, data: Buffer.alloc(Math.min(entry.size, 1 << 22)) }),
    data: (chunk, offset) => void chunk.copy(found.at(-1)!.data, offset),
    entryEnd: () => undefined,
  }
  const reader = new TarReader(sink)
  for (let at = 0; at < archive.length; at += step) reader.write(archive.subarray(at, at + step))
  reader.end()
  return found
}

const one = (source: TarSource) => read(writeTar([source]))[0]!
const corrupt = (message: string) =>
  expect.objectContaining({ code: 'HF_CORRUPT_LAYER', message: expect.stringContaining(message) })
const pax = (...records: Buffer[]) => {
  const body = Buffer.concat(records)
  return Buffer.concat([tarHeader({ name: Buffer.from('pax'), flag: 'x', size: body.length }), padded(body)])
}
const end = Buffer.alloc(1024)

describe('TarReader', () => {
  const everything = writeTar([
    { name: 'dir/', type: 'directory', mode: 0o1777 },
    {
      name: 'dir/file',
      data: 'hello',
      mode: 0o4755,
      uid: 1000,
      gid: 5000000,
      mtime: { seconds: 12, nanoseconds: 34 },
    },
    { name: 'dir/link', type: 'symlink', linkName: '../target' },
    { name: 'dir/hard', type: 'hardlink', linkName: 'dir/file' },
    { name: 'null', type: 'char', device: { major: 1, minor: 3 } },
    { name: 'fifo', type: 'fifo' },
    { name: 'empty' },
    { name: Buffer.from([0x61, 0xff, 0x62]), data: Buffer.alloc(5000, 7) },
    {
      name: `${'d/'.repeat(100)}long`,
      data: 'x',
      xattrs: new Map([['security.capability', Buffer.from('01000002000a', 'hex')]]),
    },
    { name: 'old', mtime: { seconds: -2, nanoseconds: 250_000_000 } },
  ])

  it.each([1, 7, 511, 512, 513, 4096, 1 << 20])('reads the same whatever the chunks: %i bytes', (step) => {
    expect(read(everything, step)).toEqual(read(everything))
  })

  it('keeps every field', () => {
    const [dir, file, link, hard, device, fifo, empty, bytes, long, old] = read(everything)
    expect(dir).toMatchObject({ type: 'directory', mode: 0o1777 })
    expect(file).toMatchObject({ type: 'file', mode: 0o4755, uid: 1000, gid: 5000000, size: 5 })
    expect(file!.mtime).toEqual({ seconds: 12, nanoseconds: 34 })
    expect(file!.data.toString()).toBe('hello')
    expect(link!.linkName.toString()).toBe('../target')
    expect(hard).toMatchObject({ type: 'hardlink', size: 0 })
    expect(device!.device).toEqual({ major: 1, minor: 3 })
    expect(fifo!.type).toBe('fifo')
    expect(empty!.size).toBe(0)
    expect(bytes!.name).toEqual(Buffer.from([0x61, 0xff, 0x62]))
    expect(bytes!.data.equals(Buffer.alloc(5000, 7))).toBe(true)
    expect(long!.name.toString()).toBe(`${'d/'.repeat(100)}long`)
    expect(long!.xattrs.get('security.capability')!.toString('hex')).toBe('01000002000a')
    expect(old!.mtime).toEqual({ seconds: -2, nanoseconds: 250_000_000 })
  })

  it('reads base-256 numbers and refuses ids above 2^31 - 1', () => {
    const block = (hex: string) => {
      const header = tarHeader({ name: Buffer.from('f'), flag: '0', size: 0 })
      Buffer.from(hex, 'hex').copy(header, 108)
      return Buffer.concat([withChecksum(header), end])
    }
    expect(read(block('800000007fffffff'))[0]!.uid).toBe(2 ** 31 - 1)
    expect(() => read(block('8000000080000000'))).toThrow(corrupt('uid 2147483648 is out of range'))
    expect(() => read(block('8000000100000000'))).toThrow(corrupt('out of range'))
    expect(() => read(block('ffffffffffffffff'))).toThrow(corrupt('uid -1 is out of range'))
    expect(() => read(block('8100000000000000'))).toThrow(corrupt('out of range'))
    expect(() =>
      read(Buffer.concat([pax(paxRecord('uid', '4294967296')), tarRecord({ name: 'f' }), end])),
    ).toThrow(corrupt('uid 4294967296 is out of range'))
  })

  it('reads pax ids above what octal holds', () => {
    expect(one({ name: 'f', uid: 70_000_000, gid: 2 ** 31 - 1 })).toMatchObject({
      uid: 70_000_000,
      gid: 2 ** 31 - 1,
    })
  })

  it('applies a global header to all entries and lets a local one win', () => {
    const body = paxRecord('mtime', '99')
    const global = Buffer.concat([
      tarHeader({ name: Buffer.from('g'), flag: 'g', size: body.length }),
      padded(body),
    ])
    const local = pax(paxRecord('mtime', '5.5'))
    const [a, b, c] = read(
      Buffer.concat([
        global,
        tarRecord({ name: 'a' }),
        local,
        tarRecord({ name: 'b' }),
        tarRecord({ name: 'c' }),
        end,
      ]),
    )
    expect([a!.mtime.seconds, b!.mtime, c!.mtime.seconds]).toEqual([
      99,
      { seconds: 5, nanoseconds: 500_000_000 },
      99,
    ])
  })

  it.each(['path', 'linkpath', 'size', 'SCHILY.xattr.user.x'])('refuses %s in a global header', (key) => {
    const body = paxRecord(key, '1')
    const global = Buffer.concat([
      tarHeader({ name: Buffer.from('g'), flag: 'g', size: body.length }),
      padded(body),
    ])
    expect(() => read(Buffer.concat([global, tarRecord({ name: 'a' }), end]))).toThrow(corrupt('global'))
  })

  it('does not write to any prototype', () => {
    read(
      Buffer.concat([
        pax(paxRecord('__proto__', 'x'), paxRecord('SCHILY.xattr.__proto__', 'x')),
        tarRecord({ name: 'a' }),
        end,
      ]),
    )
    expect(({} as Record<string, unknown>).x).toBeUndefined()
  })

  it.each([
    [
      'a wrong checksum',
      () => {
        const b = writeTar([{ name: 'a' }])
        b[0] = 0x62
        return b
      },
      'checksum',
    ],
    ['a cut header', () => tarRecord({ name: 'a' }).subarray(0, 300), 'unexpected end'],
    [
      'cut data',
      () => tarRecord({ name: 'a', data: Buffer.alloc(2000) }).subarray(0, 1024),
      'unexpected end',
    ],
    [
      'a NUL in a pax path',
      () => Buffer.concat([pax(paxRecord('path', 'a\0b')), tarRecord({ name: 'a' }), end]),
      'NUL',
    ],
    ['a pax header without an entry', () => pax(paxRecord('path', 'x')), 'no entry'],
    [
      'two pax headers',
      () =>
        Buffer.concat([pax(paxRecord('path', 'x')), pax(paxRecord('path', 'y')), tarRecord({ name: 'a' })]),
      'two pax',
    ],
    [
      'a pax record of length 0',
      () => Buffer.concat([pax(Buffer.from('0 path=a\n')), tarRecord({ name: 'a' })]),
      'pax record',
    ],
    [
      'a pax record past the end',
      () => Buffer.concat([pax(Buffer.from('99 path=a\n')), tarRecord({ name: 'a' })]),
      'cut off',
    ],
    [
      'a pax record without =',
      () => Buffer.concat([pax(Buffer.from('7 path\n')), tarRecord({ name: 'a' })]),
      'no key',
    ],
    [
      'a pax header of 2 MiB',
      () => tarHeader({ name: Buffer.from('p'), flag: 'x', size: 2 << 20 }),
      'pax header of',
    ],
    [
      'a GNU name of 5000 bytes',
      () => tarHeader({ name: Buffer.from('p'), flag: 'L', size: 5000 }),
      'name of 5000',
    ],
    [
      'an unknown type',
      () => tarHeader({ name: Buffer.from('p'), flag: 'M', size: 0 }),
      'unknown entry type "M"',
    ],
    ['an entry without a name', () => tarHeader({ name: Buffer.from(''), flag: '0', size: 0 }), 'no name'],
    ['zeros in the middle', () => Buffer.concat([Buffer.alloc(512), tarRecord({ name: 'a' })]), 'zeros'],
    [
      'a negative size',
      () => {
        const h = tarHeader({ name: Buffer.from('a'), flag: '0', size: 0 })
        h.fill(0xff, 124, 136)
        return withChecksum(h)
      },
      'negative',
    ],
    [
      'an octal field with other digits',
      () => {
        const h = tarHeader({ name: Buffer.from('a'), flag: '0', size: 0 })
        h.write('9', 100)
        return withChecksum(h)
      },
      'octal',
    ],
    [
      'a huge device',
      () => {
        const h = tarHeader({ name: Buffer.from('a'), flag: '3', size: 0 })
        h.write('7777777', 329)
        return withChecksum(h)
      },
      'device',
    ],
    [
      'a sparse map out of order',
      () =>
        Buffer.concat([
          pax(paxRecord('GNU.sparse.map', '5,1,0,1'), paxRecord('GNU.sparse.size', '10')),
          tarRecord({ name: 'a', data: 'ab' }),
        ]),
      'out of order',
    ],
    [
      'a sparse map that leaves the file',
      () =>
        Buffer.concat([
          pax(paxRecord('GNU.sparse.map', '9,2'), paxRecord('GNU.sparse.size', '10')),
          tarRecord({ name: 'a', data: 'ab' }),
        ]),
      'leaves the file',
    ],
    [
      'a sparse map with less data than stored',
      () =>
        Buffer.concat([
          pax(paxRecord('GNU.sparse.map', '0,1'), paxRecord('GNU.sparse.size', '10')),
          tarRecord({ name: 'a', data: 'ab' }),
        ]),
      'stored size',
    ],
    [
      'a sparse map too long',
      () =>
        Buffer.concat([
          pax(
            paxRecord('GNU.sparse.major', '1'),
            paxRecord('GNU.sparse.minor', '0'),
            paxRecord('GNU.sparse.realsize', '1'),
          ),
          tarRecord({ name: 'a', data: '99999999\n' }),
        ]),
      'too long',
    ],
  ])('refuses %s', (_what, archive, message) => {
    expect(() => read(archive())).toThrow(corrupt(message))
  })

  it('reads an old directory, whose name ends in a slash', () => {
    const header = tarHeader({ name: Buffer.from('d/'), flag: '\0', size: 0 })
    expect(read(Buffer.concat([header, end]))[0]!.type).toBe('directory')
  })

  it('ignores what follows the end', () => {
    expect(read(Buffer.concat([writeTar([{ name: 'a' }]), Buffer.alloc(9000, 0x41)]))).toHaveLength(1)
  })
})

describe('TarReader on archives of GNU tar', () => {
  it.each([
    ['gnu'],
    ['pax', '--sparse-version=0.0'],
    ['pax', '--sparse-version=0.1'],
    ['pax', '--sparse-version=1.0'],
  ])('reads names and sparse files of --format=%s %s', (format, ...options) => {
    const dir = mkdtempSync(join(tmpdir(), 'holdfast-tar-'))
    try {
      const long = 'n'.repeat(150)
      const fd = openSync(join(dir, 'sparse'), 'w')
      for (let i = 0; i < 30; i++) writeSync(fd, `part ${i}`, i * 65536)
      closeSync(fd)
      truncateSync(join(dir, 'sparse'), 2_500_000)
      writeFileSync(join(dir, long), 'long')
      const archive = execFileSync(
        'tar',
        ['-C', dir, '-cS', `--format=${format}`, ...options, 'sparse', long],
        {
          maxBuffer: 1 << 26,
        },
      )
      for (const step of [archive.length, 100]) {
        const [sparse, other] = read(archive, step)
        expect(sparse!.name.toString()).toBe('sparse')
        expect(sparse!.sparse!.length).toBeGreaterThan(20)
        expect(sparse!.size).toBe(2_500_000)
        expect(sparse!.data.toString('latin1', 29 * 65536, 29 * 65536 + 7)).toBe('part 29')
        expect(other!.name.toString()).toBe(long)
        expect(other!.data.toString()).toBe('long')
      }
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})
