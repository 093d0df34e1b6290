/** From what people write to an image: a name, a name with a tag or digest, an id, or the start of one. */
import { HoldfastError } from '@holdfast/errors'
import { storedReference, type ImageRecords, type StoredImage } from '../image-records.ts'
import { familiarReference, parseReference, withDefaultTag } from './reference.ts'

export interface FoundImage {
  image: StoredImage
  /** The full reference by which it was found; undefined where it was by id. */
  reference?: string
}

/** Names come before ids, as with Docker. Throws HF_IMAGE_NOT_FOUND, HF_INVALID_REFERENCE. */
export function findImage(records: ImageRecords, ref: string): FoundImage {
  const hex = /^(?:sha256:)?([a-f0-9]{1,64})$/.exec(ref)?.[1]
  const isId = ref.startsWith('sha256:') || hex?.length === 64
  if (!isId) {
    const reference = storedReference(ref)
    const image = records.byReference(reference)
    if (image) return { image, reference }
    // With a tag and a digest, the digest alone was looked up; a manifest's digest finds its image under any tag.
  }
  if (hex !== undefined) {
    const found = records.all().filter(({ record }) => record.id.startsWith(`sha256:${hex}`))
    if (found.length > 1) throw notFound(ref, `multiple images have ids that start with ${hex}`)
    if (found[0]) return { image: found[0] }
  }
  throw notFound(ref)
}

function notFound(ref: string, hint?: string): HoldfastError {
  const shown = /^(sha256:)?[a-f0-9]{64}$/.test(ref) ? ref : shownName(ref)
  return new HoldfastError('HF_IMAGE_NOT_FOUND', `No such image: ${shown}`, {
    ...(hint !== undefined && { hint: `${hint[0]!.toUpperCase()}${hint.slice(1)}: give more of it.` }),
    details: { image: ref },
  })
}

function shownName(ref: string): string {
  if (ref.startsWith('sha256:')) return ref
  return familiarReference(withDefaultTag(parseReference(ref)))
}
