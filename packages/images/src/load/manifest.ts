/**
 * Manifests and indexes, of OCI and of Docker. A document is what its descriptor says: one that could be read as
 * both kinds is refused (CVE-2021-41190). Callers have checked the digest before they parse.
 */
import { HoldfastError } from '@holdfast/errors'
import type { Descriptor } from '../content.ts'
import { isObject, maxLayers, parseJsonObject, type JsonObject } from '../image-config.ts'
import { isSha256 } from '../names/reference.ts'
import type { Platform } from '../task/task.ts'

export interface IndexEntry extends Descriptor {
  isIndex: boolean
  platform?: Platform
  annotations: Map<string, string>
}

export interface Manifest {
  config: Descriptor
  layers: Descriptor[]
}

const manifestTypes = new Set([
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
])
const indexTypes = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
])
const configTypes = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])
const layerTypes =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?)$/

/** `mediaType` is the descriptor's; undefined for the top of a layout, which has none. */
export function parseIndex(document: Buffer, mediaType?: string): IndexEntry[] {
  const index = parseJsonObject(document, 'index')
  checkDocument(index, mediaType, indexTypes)
  if (!Array.isArray(index.manifests)) throw invalid('manifests', 'must be an array')
  if ('layers' in index || 'config' in index) throw ambiguous()
  return (index.manifests as unknown[]).map((item, i) => parseEntry(item, `manifests[${i}]`)).filter(isImage)
}

/** Throws for what is no image of layers, say an artifact. */
export function parseManifest(document: Buffer, mediaType: string): Manifest {
  const manifest = parseJsonObject(document, 'manifest')
  checkDocument(manifest, mediaType, manifestTypes)
  if ('manifests' in manifest) throw ambiguous()
  const { layers } = manifest
  if (!Array.isArray(layers)) throw invalid('layers', 'must be an array')
  if (layers.length > maxLayers) throw invalid('layers', `has more than ${maxLayers} entries`)
  const config = parseDescriptor(manifest.config, 'config')
  if (!configTypes.has(config.mediaType)) throw unsupported('config.mediaType', config.mediaType)
  return {
    config,
    layers: layers.map((item: unknown, i) => {
      const layer = parseDescriptor(item, `layers[${i}]`)
      if (!layerTypes.test(layer.mediaType)) throw unsupported(`layers[${i}].mediaType`, layer.mediaType)
      return layer
    }),
  }
}

/** The entry for this platform. Throws HF_UNSUPPORTED, saying which there are. */
export function chooseForPlatform(entries: IndexEntry[], platform: Platform): IndexEntry {
  const fits = ({ platform: its }: IndexEntry) =>
    its === undefined || (its.os === platform.os && its.architecture === platform.architecture)
  const candidates = entries.filter(fits)
  const best =
    candidates.find((entry) => entry.platform && entry.platform.variant === platform.variant) ?? candidates[0]
  if (best) return best
  const offered = entries.map(({ platform: its }) => platformText(its!))
  throw new HoldfastError('HF_UNSUPPORTED', `the image has no variant for ${platformText(platform)}`, {
    hint: `It has: ${offered.join(', ') || 'none'}.`,
    details: { field: 'platform', offered },
  })
}

function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join('/')
}

function checkDocument(document: JsonObject, mediaType: string | undefined, types: Set<string>): void {
  if (document.schemaVersion !== 2) throw invalid('schemaVersion', 'must be 2')
  const own = document.mediaType
  if (own !== undefined && (typeof own !== 'string' || !types.has(own)))
    throw invalid('mediaType', 'is another kind')
  if (mediaType === undefined) return
  if (!types.has(mediaType)) throw unsupported('mediaType', mediaType)
  if (own !== undefined && own !== mediaType)
    throw invalid('mediaType', `is not the descriptor's, ${mediaType}`)
}

function parseEntry(value: unknown, at: string): IndexEntry {
  const descriptor = parseDescriptor(value, at)
  const { mediaType } = descriptor
  const isIndex = indexTypes.has(mediaType)
  if (!isIndex && !manifestTypes.has(mediaType)) throw unsupported(`${at}.mediaType`, mediaType)
  const { platform, annotations } = value as JsonObject
  const notes = isObject(annotations) ? Object.entries(annotations) : []
  return {
    ...descriptor,
    isIndex,
    annotations: new Map(notes.filter((note): note is [string, string] => typeof note[1] === 'string')),
    ...(isObject(platform) && { platform: parsePlatform(platform, `${at}.platform`) }),
  }
}

/** BuildKit lists its attestations as manifests of an unknown platform. */
function isImage({ platform, annotations }: IndexEntry): boolean {
  return platform?.os !== 'unknown' && !annotations.has('vnd.docker.reference.type')
}

function parsePlatform(platform: JsonObject, at: string): Platform {
  const { os, architecture, variant } = platform
  if (typeof os !== 'string' || typeof architecture !== 'string')
    throw invalid(at, 'lacks os or architecture')
  return { os, architecture, ...(typeof variant === 'string' && variant !== '' && { variant }) }
}

function parseDescriptor(value: unknown, at: string): Descriptor {
  if (!isObject(value)) throw invalid(at, 'must be an object')
  const { mediaType, digest, size } = value
  if (typeof mediaType !== 'string') throw invalid(`${at}.mediaType`, 'must be a string')
  if (!isSha256(digest)) throw invalid(`${at}.digest`, 'is no sha256 digest')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid(`${at}.size`, 'is no size')
  return { mediaType, digest, size }
}

function invalid(path: string, what: string): HoldfastError {
  return new HoldfastError('HF_INVALID_CONFIG', `invalid manifest: ${path} ${what}`, { details: { path } })
}

function ambiguous(): HoldfastError {
  return new HoldfastError('HF_CORRUPT_LAYER', 'the document could be read as a manifest and as an index')
}

function unsupported(field: string, mediaType: string): HoldfastError {
  return new HoldfastError('HF_UNSUPPORTED', `${field}: ${JSON.stringify(mediaType)} is not supported`, {
    details: { field },
  })
}
