/** An OCI image layout. https://github.com/opencontainers/image-spec/blob/main/image-layout.md */
import { HoldfastError } from '@holdfast/errors'
import { checkDigest, type Descriptor } from '../content.ts'
import { storedReference } from '../image-records.ts'
import type { Platform, ReadyImage } from '../task/task.ts'
import { assemble, type Stores } from './assemble.ts'
import { chooseForPlatform, parseIndex, parseManifest, type IndexEntry } from './manifest.ts'
import type { Member, Members } from './members.ts'

/** An index of indexes of indexes serves nobody. */
const maxDepth = 4

export async function loadOciLayout(
  members: Members,
  platform: Platform,
  stores: Stores,
): Promise<ReadyImage[]> {
  const index = parseIndex(members.document('index.json'))
  const images: ReadyImage[] = []
  for (const [name, entries] of byName(index)) {
    for (const entry of wanted(entries, platform)) {
      const reference = name === '' ? [] : [name]
      images.push(await loadDescriptor(members, { entry, references: reference, depth: 1 }, platform, stores))
    }
  }
  return images
}

/** Entries of the same name are one image for several platforms. Entries without a name are, too. */
function byName(entries: IndexEntry[]): Map<string, IndexEntry[]> {
  const named = new Map<string, IndexEntry[]>()
  for (const entry of entries) {
    const name = entryName(entry) ?? ''
    named.set(name, [...(named.get(name) ?? []), entry])
  }
  return named
}

function wanted(entries: IndexEntry[], platform: Platform): IndexEntry[] {
  const severalPlatforms = entries.length > 1 && entries.every((entry) => entry.platform !== undefined)
  return severalPlatforms ? [chooseForPlatform(entries, platform)] : entries
}

/** A bare word in `ref.name` is a tag of no repository: such an image is loaded by its id alone. */
function entryName({ annotations }: IndexEntry): string | undefined {
  const full = annotations.get('io.containerd.image.name')
  if (full !== undefined) return storedReference(full)
  const name = annotations.get('org.opencontainers.image.ref.name')
  return name !== undefined && /[/:@]/.test(name) ? storedReference(name) : undefined
}

async function loadDescriptor(
  members: Members,
  found: { entry: IndexEntry; references: string[]; depth: number },
  platform: Platform,
  stores: Stores,
): Promise<ReadyImage> {
  const { entry, references, depth } = found
  const member = blob(members, entry)
  const document = members.document(member.path)
  if (entry.isIndex) {
    if (depth >= maxDepth) throw new HoldfastError('HF_CORRUPT_LAYER', 'the index is nested too deep')
    const chosen = chooseForPlatform(parseIndex(document, entry.mediaType), platform)
    return loadDescriptor(members, { entry: chosen, references, depth: depth + 1 }, platform, stores)
  }
  const manifest = parseManifest(document, entry.mediaType)
  const config = blob(members, manifest.config)
  return assemble(
    {
      config: members.document(config.path),
      layers: manifest.layers.map((layer) => ({ member: blob(members, layer), mediaType: layer.mediaType })),
      references: [...references, ...references.map((name) => byDigest(name, entry.digest))],
      manifest: { member, mediaType: entry.mediaType },
    },
    stores,
  )
}

function byDigest(reference: string, digest: string): string {
  const name = reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  return `${name}@${digest}`
}

/** The blob that a descriptor means, as large and with the digest that it says. */
function blob(members: Members, descriptor: Descriptor): Member {
  const { digest, size } = descriptor
  const member = members.need(`blobs/${digest.replace(':', '/')}`)
  if (member.size !== size) {
    const message = `the blob ${digest} has ${member.size} bytes, its descriptor says ${size}`
    throw new HoldfastError('HF_DIGEST_MISMATCH', message, {
      details: { expected: size, actual: member.size },
    })
  }
  checkDigest(`blob ${member.path}`, digest, member.digest)
  return member
}
