import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually, temporaryDirectory } from '@holdfast/testkit'
import { openImageStore, type ImageEvent, type ImageStore } from '../src/index.ts'
import { writeTar, type TarSource } from '../src/tar/writer.test-support.ts'

const isRoot = process.getuid?.() === 0

let directory: string
let root: string
let store: ImageStore
let events: ImageEvent[]
let warnings: Error[]
let cleanUp: () => void

beforeEach(async () => {
  const temporary = temporaryDirectory()
  directory = temporary.path
  cleanUp = () => temporary[Symbol.dispose]()
  root = join(directory, 'store')
  await reopen()
})

afterEach(() => {
  store.close()
  cleanUp()
})

async function reopen(): Promise<void> {
  store?.close()
  events = []
  warnings = []
  store = await openImageStore({
    root,
    onEvent: (event) => events.push(event),
    onWarning: (e) => warnings.push(e),
  })
}

const stream = (data: Buffer) => Readable.from([data], { objectMode: false })
const sha256 = (data: Buffer | string) => createHash('sha256').update(data).digest('hex')
const nobody = { force: false, noPrune: false, inUse: () => [] }
const owner = { uid: 0x70000000, gid: 0x70000000 }
const layer = (...sources: TarSource[]) => writeTar(sources)
const anything = layer({ name: 'etc/passwd', data: 'root:x:0:0\n' })
const importAnything = (reference?: string) =>
  store.import(stream(anything), { ...(reference !== undefined && { reference }) })

/** Nothing is in the making, and the trash is empty. */
const settled = () =>
  eventually(() => ['tmp', 'trash'].every((name) => readdirSync(join(root, name)).length === 0), 15_000)
const stored = (kind: string) => readdirSync(join(root, kind))

/** A configuration for these uncompressed layers. */
function configOf(layers: Buffer[], more: object = {}): Buffer {
  const rootfs = { type: 'layers', diff_ids: layers.map((data) => `sha256:${sha256(data)}`) }
  return Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Cmd: ['sh'] }, rootfs, ...more }),
  )
}

interface SavedImage {
  tags: string[] | null
  layers: Buffer[]
  config?: Buffer
}

/** `docker save`, as Docker from 1.10 to 24 wrote it. */
function dockerArchive(images: SavedImage[], pack = (data: Buffer) => data): Buffer {
  const files: TarSource[] = []
  const manifest = images.map(({ tags, layers, config = configOf(layers) }) => {
    files.push({ name: `${sha256(config)}.json`, data: config })
    const paths = layers.map((data) => {
      const id = sha256(`id of ${sha256(data)}`)
      files.push({ name: `${id}/`, type: 'directory' }, { name: `${id}/VERSION`, data: '1.0' })
      files.push({ name: `${id}/layer.tar`, data: pack(data) })
      return `${id}/layer.tar`
    })
    return { Config: `${sha256(config)}.json`, RepoTags: tags, Layers: paths }
  })
  return writeTar([...files, { name: 'manifest.json', data: JSON.stringify(manifest) }])
}

const oci = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
}

interface Descriptor {
  mediaType: string
  digest: string
  size: number
  platform?: object
  annotations?: Record<string, string>
}

/** An OCI layout being put together. */
class Layout {
  readonly files: TarSource[] = [{ name: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' }]

  blob(mediaType: string, data: Buffer | object): Descriptor {
    const bytes = Buffer.isBuffer(data) ? data : Buffer.from(JSON.stringify(data))
    this.files.push({ name: `blobs/sha256/${sha256(bytes)}`, data: bytes })
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length }
  }

  image(layers: Buffer[], more: object = {}): Descriptor {
    return this.blob(oci.manifest, {
      schemaVersion: 2,
      mediaType: oci.manifest,
      config: this.blob(oci.config, configOf(layers)),
      layers: layers.map((data) => this.blob(oci.layer, data)),
      ...more,
    })
  }

  archive(manifests: Descriptor[], more: object = {}): Buffer {
    const index = { schemaVersion: 2, mediaType: oci.index, manifests, ...more }
    return writeTar([...this.files, { name: 'index.json', data: JSON.stringify(index) }])
  }
}

async function load(archive: Buffer): Promise<{ ids: string[]; references: string[]; messages: string[] }> {
  const messages: string[] = []
  const result = await store.load(stream(archive), (message) => messages.push(message))
  return { ...result, messages }
}

describe.skipIf(!isRoot)('the image store', () => {
  it('makes its directories for root alone, and lets one process in', async () => {
    for (const path of [root, ...readdirSync(root).map((name) => join(root, name))])
      expect(statSync(path).mode & 0o077, path).toBe(0)
    await expect(openImageStore({ root })).rejects.toMatchObject({ code: 'HF_STORE_LOCKED' })
  })

  it('imports an archive with its changes, and has it after a restart', async () => {
    const changes = ['CMD ["top"]', 'ENV A=1 B="x y"', 'EXPOSE 80', 'USER 5', 'LABEL k=v', 'WORKDIR /w']
    const id = await store.import(stream(gzipSync(anything)), {
      reference: 'a/b:1',
      message: 'made here',
      changes,
    })
    const image = store.get('a/b:1')
    expect(image).toMatchObject({
      id,
      repoTags: ['a/b:1'],
      repoDigests: [],
      size: 11,
      config: {
        os: 'linux',
        config: {
          Cmd: ['top'],
          Env: ['A=1', 'B=x y'],
          ExposedPorts: { '80/tcp': {} },
          User: '5',
          Labels: { k: 'v' },
          WorkingDir: '/w',
        },
        rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(anything)}`] },
        history: [{ comment: 'made here' }],
      },
    })
    expect(Date.parse(image.config.created!)).toBeGreaterThan(Date.now() - 60_000)
    expect(events).toEqual([
      { action: 'tag', id, reference: 'a/b:1', labels: { k: 'v' } },
      { action: 'import', id, labels: { k: 'v' } },
    ])
    await reopen()
    expect(store.get(id)).toEqual(image)
    expect(store.list()).toEqual([image])
    expect(store.maxId(id)).toBe(0)
  })

  it('changes nothing on a bad import', async () => {
    const bad: [() => Promise<string>, string][] = [
      [() => store.import(stream(Buffer.from('nonsense'.repeat(200))), {}), 'HF_CORRUPT_LAYER'],
      [() => store.import(stream(anything), { reference: 'UPPER' }), 'HF_INVALID_REFERENCE'],
      [
        () => store.import(stream(anything), { reference: `a@sha256:${'0'.repeat(64)}` }),
        'HF_INVALID_REFERENCE',
      ],
      [() => store.import(stream(anything), { changes: ['RUN ls'] }), 'HF_BAD_REQUEST'],
      [() => store.import(stream(anything), { platform: 'windows/amd64' }), 'HF_UNSUPPORTED'],
      [() => store.import(stream(Buffer.from('fd377a585a000000', 'hex')), {}), 'HF_UNSUPPORTED'],
    ]
    for (const [attempt, code] of bad) await expect(attempt()).rejects.toMatchObject({ code })
    await settled()
    expect([stored('layers'), stored('images'), stored('blobs/sha256'), events]).toEqual([[], [], [], []])
  })

  it('gives up an archive whose sender goes away', async () => {
    const tar = new Readable({ read: () => undefined })
    tar.push(anything.subarray(0, 700))
    const attempt = store.import(tar, {})
    tar.destroy()
    await expect(attempt).rejects.toMatchObject({ code: 'HF_BAD_REQUEST' })
    const failing = new Readable({ read: () => undefined })
    failing.push(anything.subarray(0, 700))
    const other = store.import(failing, {})
    failing.destroy(new Error('connection reset'))
    await expect(other).rejects.toThrow('connection reset')
    await settled()
  })

  it('leaves the connection of a bad archive open, for the answer, and takes what is still sent', async () => {
    const tar = new Readable({ read: () => undefined })
    tar.push(Buffer.alloc(2000, 'x'))
    await expect(store.import(tar, {})).rejects.toMatchObject({ code: 'HF_CORRUPT_LAYER' })
    expect(tar.destroyed).toBe(false)
    for (let i = 0; i < 100; i++) tar.push(Buffer.alloc(65536))
    tar.push(null)
    await finished(tar)
  })

  it('takes two imports and a load at once', async () => {
    const archive = dockerArchive([{ tags: ['c'], layers: [anything] }])
    const [a, b] = await Promise.all([importAnything('a'), importAnything('b'), load(archive), load(archive)])
    expect(store.list()).toHaveLength(a === b ? 2 : 3)
    expect(stored('layers')).toHaveLength(1)
    await settled()
    await reopen()
    expect(warnings).toEqual([])
  })

  it('finds an image by name, tag, id and the start of one', async () => {
    const id = await importAnything('busybox')
    for (const ref of [
      'busybox',
      'busybox:latest',
      'docker.io/library/busybox',
      id,
      id.slice(7),
      id.slice(7, 19),
      id.slice(0, 12),
    ])
      expect(store.get(ref).id, ref).toBe(id)
    for (const ref of ['busybox:other', 'nothing', '0'.repeat(64), `sha256:${'0'.repeat(64)}`])
      expect(() => store.get(ref), ref).toThrow(expect.objectContaining({ code: 'HF_IMAGE_NOT_FOUND' }))
    expect(() => store.get('nothing')).toThrow('No such image: nothing:latest')
    expect(() => store.get('Upper')).toThrow(expect.objectContaining({ code: 'HF_INVALID_REFERENCE' }))
  })

  it('refuses an ambiguous start of an id', async () => {
    const ids = new Set<string>()
    const starts = new Map<string, number>()
    for (let i = 0; i < 17; i++) {
      const id = await store.import(stream(anything), { message: String(i) })
      ids.add(id)
      starts.set(id[7]!, (starts.get(id[7]!) ?? 0) + 1)
    }
    // Seventeen ids and sixteen digits.
    const twice = [...starts].find(([, count]) => count > 1)![0]
    expect(() => store.get(twice)).toThrow(
      expect.objectContaining({
        code: 'HF_IMAGE_NOT_FOUND',
        hint: expect.stringContaining('Multiple images'),
      }),
    )
    expect(stored('layers')).toHaveLength(1)
  })

  it('tags, and moves a tag, and keeps that over a restart', async () => {
    const a = await importAnything('one')
    const b = await store.import(stream(anything), { message: 'another' })
    store.tag('one', 'two:x')
    store.tag('one', 'another:y')
    expect(store.get('two:x').repoTags).toEqual(['another:y', 'one:latest', 'two:x'])
    store.tag(b, 'one')
    expect(store.get('one').id).toBe(b)
    await reopen()
    expect(store.get('one').id).toBe(b)
    expect(store.get(a).repoTags).toEqual(['another:y', 'two:x'])
    expect(() => store.tag('one', `x@sha256:${'0'.repeat(64)}`)).toThrow(
      'refusing to create a tag with a digest',
    )
    expect(() => store.tag('one', 'sha256:abc')).toThrow('refusing to create an ambiguous tag')
    expect(() => store.tag('missing', 'x')).toThrow(expect.objectContaining({ code: 'HF_IMAGE_NOT_FOUND' }))
  })

  it('gives a name that a crash left with two images to the one that got it last', async () => {
    const a = await importAnything('name')
    const before = readFileSync(join(root, 'images', `${a.slice(7)}.json`))
    const b = await store.import(stream(anything), { message: 'b', reference: 'name' })
    store.close()
    writeFileSync(join(root, 'images', `${a.slice(7)}.json`), before)
    await reopen()
    expect(store.get('name').id).toBe(b)
    expect(store.get(a).repoTags).toEqual([])
  })
})

describe.skipIf(!isRoot)('removing images', () => {
  const conflict = (message: string) =>
    expect.objectContaining({ code: 'HF_IMAGE_IN_USE', message: expect.stringContaining(message) })

  it('takes one name off, and the image with the last one', async () => {
    const id = await importAnything('a')
    store.tag('a', 'b')
    events.length = 0
    expect(store.remove('a', nobody)).toEqual({ untagged: ['a:latest'], deleted: [] })
    expect(store.remove('b', nobody)).toEqual({
      untagged: ['b:latest'],
      deleted: [id, `sha256:${sha256(anything)}`],
    })
    expect(events.map(({ action }) => action)).toEqual(['untag', 'untag', 'delete'])
    await settled()
    expect([stored('layers'), stored('images'), stored('blobs/sha256')]).toEqual([[], [], []])
    expect(() => store.remove('a', nobody)).toThrow('No such image: a:latest')
  })

  it('keeps layers that another image has', async () => {
    await importAnything('a')
    const b = await store.import(stream(anything), { message: 'b', reference: 'b' })
    expect(store.remove('a', nobody).deleted).toHaveLength(1)
    expect(stored('layers')).toHaveLength(1)
    expect(store.get(b).size).toBe(11)
  })

  it('refuses an id with names in several repositories, unless forced', async () => {
    const id = await importAnything('a')
    store.tag('a', 'b')
    expect(() => store.remove(id, nobody)).toThrow(
      conflict(
        `conflict: unable to delete ${id.slice(7, 19)} (must be forced) - image is referenced in multiple repositories`,
      ),
    )
    expect(store.remove(id, { ...nobody, force: true }).untagged).toEqual(['a:latest', 'b:latest'])
  })

  it('refuses what a container uses, in the words of docker', async () => {
    const id = await importAnything('a')
    const user = '0123456789abcdef'
    const stopped = { ...nobody, inUse: () => [user] }
    const running = { ...nobody, inUse: () => [{ id: user, running: true }] }
    expect(() => store.remove('a', stopped)).toThrow(
      conflict(
        `conflict: unable to remove repository reference "a:latest" (must force) - container 0123456789ab is using its referenced image ${id.slice(7, 19)}`,
      ),
    )
    expect(() => store.remove(id, stopped)).toThrow(
      conflict('(must be forced) - image is being used by stopped container 0123456789ab'),
    )
    expect(() => store.remove(id, { ...running, force: true })).toThrow(
      conflict('(cannot be forced) - image is being used by running container'),
    )
    expect(store.remove('a', { ...running, force: true })).toEqual({ untagged: ['a:latest'], deleted: [] })
    expect(store.get(id).repoTags).toEqual([])
    store.tag(id, 'again')
    expect(store.remove('again', { ...stopped, force: true }).deleted).toContain(id)
  })

  it('keeps the layers below a snapshot until that goes', async () => {
    const id = await importAnything('a')
    const snapshot = await store.createSnapshot('c1', id, { root: owner, lowerExtra: [] })
    store.remove('a', { ...nobody, force: true })
    await reopen()
    expect(existsSync(snapshot.lower[0]!)).toBe(true)
    expect(store.getSnapshot('c1')).toEqual(snapshot)
    await store.removeSnapshot('c1')
    await settled()
    expect(stored('layers')).toEqual([])
  })
})

describe.skipIf(!isRoot)('load', () => {
  const base = layer({ name: 'base', data: 'b' })
  const top = layer({ name: 'top', data: 't' }, { name: '.wh.base' })

  it.each([
    ['plain', (data: Buffer) => data],
    ['gzip', (data: Buffer) => gzipSync(data)],
    ['zstd', (data: Buffer) => zstdCompressSync(data)],
  ])('reads what docker save wrote, with layers %s', async (_name, pack) => {
    const config = configOf([base, top])
    const archive = dockerArchive([{ tags: ['x/y:1', 'z'], layers: [base, top], config }], pack)
    const id = `sha256:${sha256(config)}`
    expect(await load(archive)).toEqual({
      ids: [id],
      references: ['x/y:1', 'z:latest'],
      messages: ['Loaded image: x/y:1', 'Loaded image: z:latest'],
    })
    expect(store.get(id).config.config.Cmd).toEqual(['sh'])
    expect(stored('layers')).toHaveLength(2)
    expect(readFileSync(join(root, 'blobs/sha256', id.slice(7)))).toEqual(config)
    await settled()
    await reopen()
    expect(store.get('z').id).toBe(id)
    expect(warnings).toEqual([])
  })

  it('reads an archive that is compressed as a whole, and several images of shared layers', async () => {
    const archive = dockerArchive([
      { tags: ['a'], layers: [base] },
      { tags: null, layers: [base, top] },
    ])
    const { ids, messages } = await load(gzipSync(archive))
    expect(messages).toEqual(['Loaded image: a:latest', `Loaded image ID: ${ids[1]}`])
    expect(stored('layers')).toHaveLength(2)
    expect((await load(archive)).ids).toEqual(ids)
  })

  it('checks a layer that it has already, too', async () => {
    await load(dockerArchive([{ tags: ['a'], layers: [base] }]))
    const lying = dockerArchive([
      { tags: ['b'], layers: [top], config: configOf([base], { author: 'someone' }) },
    ])
    await expect(load(lying)).rejects.toMatchObject({
      code: 'HF_DIGEST_MISMATCH',
      details: { expected: `sha256:${sha256(base)}`, actual: `sha256:${sha256(top)}` },
    })
    expect(store.list()).toHaveLength(1)
    expect(stored('blobs/sha256')).toHaveLength(2)
  })

  it('says that a name moved', async () => {
    await load(dockerArchive([{ tags: ['a'], layers: [base] }]))
    const old = store.get('a').id
    const { messages } = await load(dockerArchive([{ tags: ['a'], layers: [top] }]))
    expect(messages).toEqual([
      `The image a:latest already exists, renaming the old one with ID ${old} to empty string`,
      'Loaded image: a:latest',
    ])
  })

  it('reads layers that are links to others, as docker 1.10 to 24 wrote them', async () => {
    const config = configOf([base, base])
    const archive = writeTar([
      { name: 'config.json', data: config },
      { name: 'one/layer.tar', data: base },
      { name: 'two/layer.tar', type: 'symlink', linkName: '../one/layer.tar' },
      {
        name: 'manifest.json',
        data: JSON.stringify([
          { Config: 'config.json', RepoTags: ['a'], Layers: ['one/layer.tar', 'two/layer.tar'] },
        ]),
      },
    ])
    expect((await load(archive)).ids).toEqual([`sha256:${sha256(config)}`])
  })

  it('reads the archives from before docker 1.10', async () => {
    const [low, high] = ['1'.repeat(64), '2'.repeat(64)]
    const json = (id: string, parent?: string) =>
      JSON.stringify({
        id,
        parent,
        created: '2015-01-01T00:00:00Z',
        os: 'linux',
        architecture: 'amd64',
        config: { Cmd: ['old'] },
        container_config: { Cmd: ['/bin/sh', '-c', `#(nop) ${id[0]}`] },
      })
    const archive = writeTar([
      { name: `${low}/json`, data: json(low) },
      { name: `${low}/layer.tar`, data: base },
      { name: `${high}/json`, data: json(high, low) },
      { name: `${high}/layer.tar`, data: top },
      { name: 'repositories', data: JSON.stringify({ old: { v1: high } }) },
    ])
    expect((await load(archive)).references).toEqual(['old:v1'])
    const { config } = store.get('old:v1')
    expect(config.config.Cmd).toEqual(['old'])
    expect(config.rootfs.diff_ids).toEqual([`sha256:${sha256(base)}`, `sha256:${sha256(top)}`])
    expect(config.history.map((step) => step.created_by)).toEqual([
      '/bin/sh -c #(nop) 1',
      '/bin/sh -c #(nop) 2',
    ])
  })

  it('reads an OCI layout, names it, and finds it by digest', async () => {
    const layout = new Layout()
    const manifest = layout.image([base, top])
    const named = { ...manifest, annotations: { 'io.containerd.image.name': 'docker.io/library/app:1' } }
    expect(await load(layout.archive([named]))).toMatchObject({
      references: ['app:1'],
      messages: ['Loaded image: app:1'],
    })
    expect(store.get('app:1').repoDigests).toEqual([`app@${manifest.digest}`])
    expect(store.get(`app@${manifest.digest}`).repoTags).toEqual(['app:1'])
    expect(store.remove('app:1', nobody).untagged).toEqual(['app:1', `app@${manifest.digest}`])
  })

  it.each([
    ['a whole reference', 'reg.example:5000/a/b:2', ['reg.example:5000/a/b:2']],
    ['a name with a tag', 'app:3', ['app:3']],
    ['a bare tag, which names no repository', 'latest', []],
  ])('takes %s from ref.name', async (_what, name, references) => {
    const layout = new Layout()
    const manifest = layout.image([base])
    const entry = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': name } }
    expect((await load(layout.archive([entry]))).references).toEqual(references)
  })

  it("chooses this machine's platform from a nested index, and leaves attestations out", async () => {
    const layout = new Layout()
    const mine = { os: 'linux', architecture: { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64'] }
    const wanted = { ...layout.image([base]), platform: mine }
    const other = { ...layout.image([top]), platform: { os: 'linux', architecture: 's390x' } }
    const attestation = {
      ...layout.blob(oci.manifest, {
        schemaVersion: 2,
        config: layout.blob('application/vnd.oci.empty.v1+json', {}),
        layers: [],
      }),
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    }
    const nested = layout.blob(oci.index, {
      schemaVersion: 2,
      mediaType: oci.index,
      manifests: [other, attestation, wanted],
    })
    const archive = layout.archive([{ ...nested, annotations: { 'io.containerd.image.name': 'multi:1' } }])
    await load(archive)
    expect(store.get('multi:1').config.rootfs.diff_ids).toEqual([`sha256:${sha256(base)}`])
    const none = layout.blob(oci.index, { schemaVersion: 2, manifests: [other] })
    await expect(load(layout.archive([none]))).rejects.toMatchObject({
      code: 'HF_UNSUPPORTED',
      hint: expect.stringContaining('linux/s390x'),
    })
  })

  const withLayout = (make: (layout: Layout) => Descriptor[] | Buffer) => () => {
    const layout = new Layout()
    const made = make(layout)
    return Buffer.isBuffer(made) ? made : layout.archive(made)
  }
  const bad: [string, () => Buffer, string, string][] = [
    [
      'a layer that is not what the configuration says',
      () => dockerArchive([{ tags: ['a'], layers: [base], config: configOf([top]) }]),
      'HF_DIGEST_MISMATCH',
      sha256(top),
    ],
    [
      'a configuration that is not what its name says',
      () =>
        writeTar([
          { name: `${'0'.repeat(64)}.json`, data: configOf([]) },
          { name: 'manifest.json', data: JSON.stringify([{ Config: `${'0'.repeat(64)}.json`, Layers: [] }]) },
        ]),
      'HF_DIGEST_MISMATCH',
      '0000',
    ],
    [
      'fewer layers than the configuration has',
      () =>
        writeTar([
          { name: 'c', data: configOf([base]) },
          { name: 'manifest.json', data: JSON.stringify([{ Config: 'c', Layers: [] }]) },
        ]),
      'HF_CORRUPT_LAYER',
      'layers length mismatch: expected 1, got 0',
    ],
    [
      'a layer that is missing',
      () =>
        writeTar([
          { name: 'c', data: configOf([base]) },
          { name: 'manifest.json', data: JSON.stringify([{ Config: 'c', Layers: ['x'] }]) },
        ]),
      'HF_CORRUPT_LAYER',
      'lacks "x"',
    ],
    [
      'a name that is no reference',
      () => dockerArchive([{ tags: ['NO'], layers: [base] }]),
      'HF_INVALID_REFERENCE',
      'lowercase',
    ],
    [
      'an image of another system',
      () => dockerArchive([{ tags: ['a'], layers: [base], config: configOf([base], { os: 'windows' }) }]),
      'HF_UNSUPPORTED',
      'windows',
    ],
    [
      'a configuration of the wrong types',
      () =>
        dockerArchive([
          { tags: ['a'], layers: [base], config: configOf([base], { config: { Env: 'A=1' } }) },
        ]),
      'HF_INVALID_CONFIG',
      'config.Env',
    ],
    [
      'a manifest.json that is no JSON',
      () => writeTar([{ name: 'manifest.json', data: '{' }]),
      'HF_INVALID_CONFIG',
      'manifest.json',
    ],
    [
      'a manifest.json of 5 MB',
      () => writeTar([{ name: 'manifest.json', data: Buffer.alloc(5 << 20, ' ') }]),
      'HF_CORRUPT_LAYER',
      'more than',
    ],
    ['a file system in place of images', () => anything, 'HF_CORRUPT_LAYER', 'neither'],
    [
      'a member that climbs out',
      () => writeTar([{ name: '../x', data: 'x' }]),
      'HF_CORRUPT_LAYER',
      'leaves the archive',
    ],
    [
      'a link that climbs out',
      () => writeTar([{ name: 'manifest.json', type: 'symlink', linkName: '../../../etc/passwd' }]),
      'HF_CORRUPT_LAYER',
      'leaves the archive',
    ],
    [
      'a link to a file of the host',
      () => writeTar([{ name: 'manifest.json', type: 'symlink', linkName: '/etc/passwd' }]),
      'HF_CORRUPT_LAYER',
      'neither',
    ],
    [
      'links in a circle',
      () =>
        writeTar([
          { name: 'manifest.json', type: 'symlink', linkName: 'b' },
          { name: 'b', type: 'symlink', linkName: 'manifest.json' },
        ]),
      'HF_CORRUPT_LAYER',
      'neither',
    ],
    [
      'a device among the images',
      () => writeTar([{ name: 'n', type: 'char', device: { major: 1, minor: 3 } }]),
      'HF_CORRUPT_LAYER',
      'a char among',
    ],
    [
      'a blob changed after the fact',
      withLayout((l) => {
        const d = l.image([base])
        l.files[1]!.data = Buffer.from('x'.repeat((l.files[1]!.data as Buffer).length))
        return [d]
      }),
      'HF_DIGEST_MISMATCH',
      'expected sha256:',
    ],
    [
      'a blob longer than its descriptor',
      withLayout((l) => [{ ...l.image([base]), size: 3 }]),
      'HF_DIGEST_MISMATCH',
      'its descriptor says 3',
    ],
    [
      'a manifest that is an index too',
      withLayout((l) => [l.image([base], { manifests: [] })]),
      'HF_CORRUPT_LAYER',
      'as a manifest and as an index',
    ],
    [
      'an index that is a manifest too',
      withLayout((l) => l.archive([l.image([base])], { layers: [] })),
      'HF_CORRUPT_LAYER',
      'as a manifest and as an index',
    ],
    [
      'a document of another type than its descriptor',
      withLayout((l) => [
        l.image([base], { mediaType: 'application/vnd.docker.distribution.manifest.v2+json' }),
      ]),
      'HF_INVALID_CONFIG',
      'mediaType',
    ],
    [
      'an index passed off as a manifest',
      withLayout((l) => [
        { ...l.blob(oci.index, { schemaVersion: 2, manifests: [] }), mediaType: oci.manifest },
      ]),
      'HF_CORRUPT_LAYER',
      'as a manifest and as an index',
    ],
    [
      'an artifact',
      withLayout((l) => [l.image([base], { config: l.blob('application/vnd.example', {}) })]),
      'HF_UNSUPPORTED',
      'vnd.example',
    ],
    [
      'an index nested without end',
      withLayout((l) => {
        let d = l.image([base])
        for (let i = 0; i < 5; i++) d = l.blob(oci.index, { schemaVersion: 2, manifests: [d] })
        return [d]
      }),
      'HF_CORRUPT_LAYER',
      'nested too deep',
    ],
  ]

  it.each(bad)('refuses %s, and keeps nothing of it', async (_what, archive, code, message) => {
    await expect(load(archive())).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
    await settled()
    expect([stored('layers'), stored('images'), stored('blobs/sha256'), events]).toEqual([[], [], [], []])
  })

  it('keeps labels and variables named like properties of objects as data', async () => {
    const config = Buffer.from(
      configOf([base])
        .toString()
        .replace('"Cmd"', '"Labels":{"__proto__":"x","constructor":"y"},"__proto__":{"User":"root"},"Cmd"'),
    )
    await load(dockerArchive([{ tags: ['a'], layers: [base], config }]))
    const run = store.get('a').config.config
    expect(Object.entries(run.Labels!)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
    expect(run.User).toBeUndefined()
    expect(({} as Record<string, unknown>).User).toBeUndefined()
  })
})

describe.skipIf(!isRoot)('recovery', () => {
  it('puts away what a killed process left half done', async () => {
    const id = await importAnything('kept')
    store.close()
    mkdirSync(join(root, 'tmp', 'half', 'diff', 'deep'), { recursive: true })
    mkdirSync(join(root, 'layers', '0'.repeat(64), 'diff'), { recursive: true })
    writeFileSync(join(root, 'blobs/sha256', '1'.repeat(64)), 'orphan')
    writeFileSync(join(root, 'blobs/sha256', `${'2'.repeat(64)}.1-1.tmp`), 'half')
    writeFileSync(join(root, 'images', `${'3'.repeat(64)}.json.1-1.tmp`), 'half')
    mkdirSync(join(root, 'trash', 'old', 'x'), { recursive: true })
    await reopen()
    await settled()
    expect(stored('layers')).toHaveLength(1)
    expect(stored('images')).toEqual([`${id.slice(7)}.json`])
    expect(stored('blobs/sha256')).toHaveLength(2)
    expect(store.get('kept').id).toBe(id)
  })

  it.each([
    ['empty', ''],
    ['cut off', '{"schema":1,"id":"sha'],
    ['from a later version', '{"schema":99}'],
    ['of another image', JSON.stringify({ schema: 1, id: `sha256:${'9'.repeat(64)}`, references: [] })],
  ])('sets a record aside that is %s, and keeps the other images', async (_what, content) => {
    const damaged = await importAnything('damaged')
    await store.import(stream(layer({ name: 'other' })), { reference: 'good' })
    store.close()
    writeFileSync(join(root, 'images', `${damaged.slice(7)}.json`), content)
    await reopen()
    expect(store.list().flatMap(({ repoTags }) => repoTags)).toEqual(['good:latest'])
    expect(warnings[0]!.message).toContain('is damaged and was set aside')
    expect(stored('images')).toContain(`${damaged.slice(7)}.json.damaged`)
  })

  it('sets a record aside whose layer is missing', async () => {
    await importAnything('a')
    store.close()
    rmSync(join(root, 'layers', sha256(anything)), { recursive: true })
    await reopen()
    expect(store.list()).toEqual([])
    expect(warnings[0]!.cause).toMatchObject({ message: expect.stringContaining('is missing') })
  })

  it('notices a configuration that changed on disk', async () => {
    const id = await importAnything('a')
    store.close()
    writeFileSync(join(root, 'blobs/sha256', id.slice(7)), '{"os":"linux","rootfs":{"type":"layers"}}')
    await reopen()
    expect(store.list()).toEqual([])
    expect(warnings[0]!.cause).toMatchObject({ code: 'HF_DIGEST_MISMATCH' })
  })
})

describe.skipIf(!isRoot)('snapshots', () => {
  it('are made for a container and removed with all that is in them', async () => {
    const id = await importAnything('a')
    const extra = join(directory, 'extra')
    mkdirSync(extra)
    const snapshot = await store.createSnapshot('c1', id, { root: owner, lowerExtra: [extra] })
    expect(snapshot.lower).toHaveLength(2)
    expect(snapshot.lower[0]).toBe(extra)
    expect(statSync(snapshot.upper)).toMatchObject({ uid: owner.uid, gid: owner.gid, mode: 0o40755 })
    writeFileSync(join(snapshot.upper, 'big'), Buffer.alloc(5000))
    // What overlay leaves in its work directory, and what nobody may remove by following it.
    mkdirSync(join(snapshot.work, 'work'), { mode: 0 })
    const canary = join(directory, 'canary')
    writeFileSync(canary, 'alive')
    execFileSync(
      'sh',
      [
        '-euc',
        'ln -s "$1" link; ln -s / root; mkfifo fifo; mknod dev c 0 0; mkdir -m 0 closed closed/in',
        '-',
        canary,
      ],
      { cwd: snapshot.upper },
    )
    // Deeper than a path can be, and than there are descriptors.
    execFileSync(
      process.execPath,
      [
        '-e',
        `for (let i = 0; i < 1000; i++) { fs.mkdirSync('dddddd'); process.chdir('dddddd') } fs.writeFileSync('bottom', 'x'.repeat(7))`,
      ],
      { cwd: snapshot.upper },
    )
    expect(await store.snapshotSize('c1')).toEqual({ rw: 5007 + canary.length + 1, image: 11 })
    await expect(store.createSnapshot('c1', id, { root: owner, lowerExtra: [] })).rejects.toThrow('exists')
    await reopen()
    expect(store.listSnapshots()).toEqual(['c1'])
    expect(store.getSnapshot('c1')).toEqual(snapshot)
    await store.removeSnapshot('c1')
    expect(store.listSnapshots()).toEqual([])
    expect(() => store.getSnapshot('c1')).toThrow('there is no snapshot c1')
    await settled()
    expect(readFileSync(canary, 'utf8')).toBe('alive')
    expect(warnings).toEqual([])
    await store.removeSnapshot('c1')
  })

  it('leave nothing where they could not be made', async () => {
    const id = await importAnything('a')
    const owner = { uid: 2 ** 33, gid: 0 }
    await expect(store.createSnapshot('c1', id, { root: owner, lowerExtra: [] })).rejects.toThrow()
    expect([stored('snapshots'), stored('tmp')]).toEqual([[], []])
  })

  it('can be removed with a torn record', async () => {
    const id = await importAnything('a')
    await store.createSnapshot('c1', id, { root: owner, lowerExtra: [] })
    truncateSync(join(root, 'snapshots/c1/snapshot.json'), 0)
    await reopen()
    expect(warnings[0]!.message).toContain('snapshot c1 is damaged')
    expect(() => store.getSnapshot('c1')).toThrow('damaged')
    expect(store.listSnapshots()).toEqual(['c1'])
    await store.removeSnapshot('c1')
    await settled()
  })

  it.each(['..', '.', 'a/b', '', 'a\0b', '-x'])('refuse the key %j', async (key) => {
    const id = await importAnything('a')
    await expect(store.createSnapshot(key, id, { root: owner, lowerExtra: [] })).rejects.toMatchObject({
      code: 'HF_BAD_REQUEST',
    })
  })

  it('have something below even where the image has no layers', async () => {
    const { ids } = await load(dockerArchive([{ tags: ['scratch-like'], layers: [] }]))
    const { lower } = await store.createSnapshot('c1', ids[0]!, { root: owner, lowerExtra: [] })
    expect(readdirSync(lower[0]!)).toEqual([])
  })

  it('mount as overlay, with the whiteouts of the layers in effect', async () => {
    const layers = [
      layer(
        { name: 'd/gone', data: '1' },
        { name: 'd/kept', data: '2' },
        { name: 'o/hidden', data: '3' },
        { name: 'w/x', data: '4' },
      ),
      layer(
        { name: 'd/.wh.gone' },
        { name: 'o/.wh..wh..opq' },
        { name: 'o/new', data: '5' },
        { name: '.wh.w' },
        { name: 'w/y', data: '6' },
      ),
    ]
    const { ids } = await load(dockerArchive([{ tags: ['a'], layers }]))
    const { lower, upper, work } = await store.createSnapshot('c1', ids[0]!, { root: owner, lowerExtra: [] })
    const script = `mount -t overlay o -o "lowerdir=$1,upperdir=$2,workdir=$3" /mnt && cd /mnt && find . -type f | sort | tr '\\n' ' '`
    const seen = execFileSync('unshare', [
      '-m',
      'sh',
      '-euc',
      script,
      '-',
      lower.join(':'),
      upper,
      work,
    ]).toString()
    expect(seen).toBe('./d/kept ./o/new ./w/y ')
    expect(lstatSync(join(lower[0]!, 'd/gone')).isCharacterDevice()).toBe(true)
  })
})

describe.skipIf(!isRoot)('a full disk', () => {
  it('fails an import clearly, leaves nothing, and works again with room', async () => {
    const program = `
      import { Readable } from 'node:stream'
      import { randomBytes } from 'node:crypto'
      import { readdirSync, rmSync, writeFileSync } from 'node:fs'
      import { openImageStore } from ${JSON.stringify(new URL('../src/index.ts', import.meta.url).href)}
      import { writeTar } from ${JSON.stringify(new URL('../src/tar/writer.test-support.ts', import.meta.url).href)}
      const store = await openImageStore({ root: '/mnt/store' })
      const tar = (bytes) => Readable.from([writeTar([{ name: 'f', data: randomBytes(bytes) }])], { objectMode: false })
      const outcome = {}
      await store.import(tar(12e6), { reference: 'big' }).catch((error) => { outcome.error = { code: error.code, message: error.message, hint: error.hint } })
      for (const end = Date.now() + 45_000; readdirSync('/mnt/store/trash').length > 0 && Date.now() < end;) await new Promise(setImmediate)
      outcome.left = ['layers', 'images', 'blobs/sha256', 'tmp', 'trash'].flatMap((name) => readdirSync('/mnt/store/' + name))
      outcome.id = await store.import(tar(1e6), { reference: 'small' })
      outcome.names = store.list().flatMap((image) => image.repoTags)
      console.log(JSON.stringify(outcome))
      store.close()`
    const script =
      'mount -t tmpfs -o size=16m tmpfs /mnt && exec "$0" --conditions=@holdfast/source --input-type=module -e "$1"'
    const child = spawn('unshare', ['-m', 'sh', '-euc', script, process.execPath, program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    expect(await once(child, 'close')).toEqual([0, null])
    expect(JSON.parse(output)).toEqual({
      error: {
        code: 'HF_DISK_FULL',
        message: 'no space left on the file system of /mnt/store',
        hint: expect.any(String),
      },
      left: [],
      id: expect.stringMatching(/^sha256:/),
      names: ['small:latest'],
    })
  })
})
