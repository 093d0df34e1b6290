/** From a configuration and its layers' archives to an image that only lacks its record. */
import { createHash } from 'node:crypto'
import { HoldfastError } from '@holdfast/errors'
import { checkDigest, digestOf, type ContentStore, type Descriptor } from '../content.ts'
import { parseImageConfig } from '../image-config.ts'
import { chainIdOf, chainIdsOf, type LayerStore } from '../layers.ts'
import { decompress, type Compression } from '../tar/decompress.ts'
import type { ReadyImage } from '../task/task.ts'
import { keep, openMember, type Member } from './members.ts'

export interface Stores {
  content: ContentStore
  layers: LayerStore
}

export interface ImageParts {
  config: Buffer
  /** Lowest first, with the media type where the archive states one. */
  layers: { member: Member; mediaType?: string }[]
  /** Full references. */
  references: string[]
  /** The manifest, if there is one. */
  manifest?: { member: Member; mediaType: string }
}

export const layerMediaTypes: Record<Compression, string> = {
  none: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
}

/** Throws before anything is kept where the parts don't fit each other. */
export async function assemble(parts: ImageParts, stores: Stores): Promise<ReadyImage> {
  const id = digestOf(parts.config)
  const diffIds = parseImageConfig(parts.config).rootfs.diff_ids
  if (diffIds.length !== parts.layers.length) {
    const counts = `expected ${diffIds.length}, got ${parts.layers.length}`
    throw new HoldfastError('HF_CORRUPT_LAYER', `invalid manifest, layers length mismatch: ${counts}`)
  }
  const chainIds = chainIdsOf(diffIds)
  const layers: Descriptor[] = []
  for (const [i, { member, mediaType }] of parts.layers.entries()) {
    const compression = await unpackMember(
      member,
      { diffId: diffIds[i]!, below: chainIds.slice(0, i) },
      stores,
    )
    layers.push({
      mediaType: mediaType ?? layerMediaTypes[compression],
      digest: member.digest,
      size: member.size,
    })
  }
  stores.content.add(parts.config)
  for (const { member } of parts.layers) keep(member, stores.content)
  const manifests: Descriptor[] = []
  if (parts.manifest) {
    const { member, mediaType } = parts.manifest
    keep(member, stores.content)
    manifests.push({ mediaType, digest: member.digest, size: member.size })
  }
  return { id, manifests, layers, references: parts.references }
}

async function unpackMember(
  member: Member,
  place: { diffId: string; below: string[] },
  { layers }: Stores,
): Promise<Compression> {
  const { diffId, below } = place
  if (layers.has(chainIdOf(below.at(-1), diffId))) {
    // The files are there, but this archive is kept too: it has to be the same.
    const { digest, compression } = await plainDigest(openMember(member))
    checkDigest(`layer ${member.path}`, diffId, digest)
    return compression
  }
  const unpacked = await layers.unpack(openMember(member), below, diffId)
  layers.commit(unpacked, below.at(-1))
  return unpacked.compression
}

/** The digest of the archive inside, whatever it is compressed with. */
export async function plainDigest(
  source: AsyncIterable<Buffer>,
): Promise<{ digest: string; compression: Compression }> {
  const hash = createHash('sha256')
  const compression = await decompress(source, (chunk) => void hash.update(chunk))
  return { digest: `sha256:${hash.digest('hex')}`, compression }
}
