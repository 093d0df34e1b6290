/**
 * Unpacked layers, each in `layers/<chain id>/`: `diff/` as overlay wants it, and `layer.json`. A directory of that
 * name is whole: it was made elsewhere and renamed.
 */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { closeFd, fchmod, AT_FDCWD, O_DIRECTORY, openat2 } from '@holdfast/core'
import { checkDigest, digestOf } from './content.ts'
import { hexOf, type StoreDirectories } from './directories.ts'
import { isSha256 } from './names/reference.ts'
import { decompress, type Compression } from './tar/decompress.ts'
import { TarReader } from './tar/reader.ts'
import { defaultUnpackLimits, Unpacker, type UnpackResult } from './unpack/unpacker.ts'

export interface LayerRecord {
  schema: 1
  chainId: string
  /** Of the uncompressed archive. */
  diffId: string
  /** Chain id of the layer below; absent for the lowest. */
  parent?: string
  /** Bytes of its files and symbolic links. */
  size: number
  /** Highest uid or gid of its files. */
  maxId: number
}

/** A layer that is unpacked and has no place yet. */
export interface UnpackedLayer extends UnpackResult {
  diffId: string
  compression: Compression
  directory: string
}

/** OCI image-spec config.md, "Layer ChainID". */
export function chainIdOf(parent: string | undefined, diffId: string): string {
  return parent === undefined ? diffId : digestOf(`${parent} ${diffId}`)
}

export function chainIdsOf(diffIds: readonly string[]): string[] {
  const chain: string[] = []
  for (const diffId of diffIds) chain.push(chainIdOf(chain.at(-1), diffId))
  return chain
}

export class LayerStore {
  readonly #directories: StoreDirectories

  constructor(directories: StoreDirectories) {
    this.#directories = directories
  }

  has(chainId: string): boolean {
    return existsSync(this.#directory(chainId))
  }

  /** What overlay stacks. */
  diff(chainId: string): string {
    return join(this.#directory(chainId), 'diff')
  }

  record(chainId: string): LayerRecord {
    const record = JSON.parse(
      readFileSync(join(this.#directory(chainId), 'layer.json'), 'utf8'),
    ) as LayerRecord
    if (record.schema !== 1 || record.chainId !== chainId)
      throw new HoldfastError('HF_INTERNAL', `the record of layer ${chainId} is damaged`)
    return record
  }

  list(): string[] {
    return readdirSync(this.#directories.layers)
      .map((name) => `sha256:${name}`)
      .filter(isSha256)
  }

  /**
   * Unpacks an archive, compressed or not, into a temporary directory. `below` are chain ids of the layers below,
   * lowest first. Throws HF_DIGEST_MISMATCH where it is not `diffId`.
   */
  async unpack(
    source: AsyncIterable<Buffer>,
    below: readonly string[],
    diffId?: string,
  ): Promise<UnpackedLayer> {
    const directory = join(this.#directories.temporary, randomUUID())
    mkdirSync(join(directory, 'scratch'), { recursive: true, mode: 0o700 })
    mkdirSync(join(directory, 'diff'), { mode: 0o755 })
    const descriptors: number[] = []
    const open = (path: string) => {
      const fd = openat2(AT_FDCWD, path, { flags: O_DIRECTORY })
      descriptors.push(fd)
      return fd
    }
    const unpacker = new Unpacker({
      root: open(join(directory, 'diff')),
      scratch: open(join(directory, 'scratch')),
      lower: below.map((chainId) => open(this.diff(chainId))).reverse(),
      limits: defaultUnpackLimits,
    })
    try {
      fchmod(descriptors[0]!, 0o755) // whatever the umask; an entry for the root may say otherwise
      const reader = new TarReader(unpacker)
      const hash = createHash('sha256')
      const compression = await decompress(source, (chunk) => {
        hash.update(chunk)
        reader.write(chunk)
      })
      reader.end()
      const actual = `sha256:${hash.digest('hex')}`
      if (diffId !== undefined) checkDigest('layer', diffId, actual)
      return { ...unpacker.finish(), diffId: actual, compression, directory }
    } finally {
      unpacker.close()
      for (const fd of descriptors) closeFd(fd)
    }
  }

  /** Gives an unpacked layer its place. Returns its chain id. Another process of unpacking may have been faster. */
  commit(layer: UnpackedLayer, parent: string | undefined): string {
    const chainId = chainIdOf(parent, layer.diffId)
    const { diffId, size, maxId } = layer
    const record: LayerRecord = {
      schema: 1,
      chainId,
      diffId,
      ...(parent !== undefined && { parent }),
      size,
      maxId,
    }
    writeFileSync(join(layer.directory, 'layer.json'), JSON.stringify(record), { mode: 0o600 })
    try {
      renameSync(layer.directory, this.#directory(chainId))
    } catch (error) {
      if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error
      this.discard(layer.directory)
    }
    return chainId
  }

  /** Moves a layer to the trash. */
  remove(chainId: string): void {
    this.discard(this.#directory(chainId))
  }

  discard(directory: string): void {
    renameSync(directory, join(this.#directories.trash, randomUUID()))
  }

  #directory(chainId: string): string {
    return join(this.#directories.layers, hexOf(chainId))
  }
}
