/** What `docker rmi` takes away: references, then the image; and what it refuses, in dockerd's words. */
import { HoldfastError } from '@holdfast/errors'
import type { StoredImage } from '../image-records.ts'
import type { ImageStore, ImageUser } from '../image-store.ts'
import { familiarReference, fullName, parseReference } from './reference.ts'

type Options = Parameters<ImageStore['remove']>[1]

export interface Removal {
  /** Full references that go, in order. */
  untag: string[]
  /** Whether the image goes with them. */
  remove: boolean
}

/**
 * Decides without changing anything. `reference` is the full reference that was asked for, or undefined where the
 * image was named by its id.
 */
export function planRemoval(image: StoredImage, reference: string | undefined, options: Options): Removal {
  const { id } = image.record
  const references = image.record.references.map((entry) => entry.reference)
  const users = options
    .inUse(id)
    .map((user) => (typeof user === 'string' ? { id: user, running: false } : user))
  if (reference === undefined) return planById(image, references, users, options)
  if (!options.force && isSingle(references) && users[0]) {
    const name = familiarReference(parseReference(reference))
    throw conflict(
      id,
      `unable to remove repository reference "${name}" (must force) - ` +
        `container ${short(users[0].id)} is using its referenced image ${short(id)}`,
    )
  }
  const untag = [reference]
  let left = references.filter((other) => other !== reference)
  // The last tag of a repository takes the repository's digests with it.
  const repository = nameOf(reference)
  if (!hasDigest(reference) && !left.some((other) => !hasDigest(other) && nameOf(other) === repository)) {
    const digests = left.filter((other) => nameOf(other) === repository)
    untag.push(...digests)
    left = left.filter((other) => !digests.includes(other))
  }
  if (left.length > 0) return { untag, remove: false }
  // Forced away from a container that uses it, the image stays without a name as long as it runs.
  return { untag, remove: !users.some((user) => user.running) && (options.force || users.length === 0) }
}

function planById(image: StoredImage, references: string[], users: ImageUser[], options: Options): Removal {
  const { id } = image.record
  const running = users.find((user) => user.running)
  const refuse = (how: string, reason: string) =>
    conflict(id, `unable to delete ${short(id)} (${how}) - ${reason}`)
  if (running)
    throw refuse('cannot be forced', `image is being used by running container ${short(running.id)}`)
  if (!options.force && !isSingle(references))
    throw refuse('must be forced', 'image is referenced in multiple repositories')
  if (!options.force && users[0])
    throw refuse('must be forced', `image is being used by stopped container ${short(users[0].id)}`)
  return { untag: references, remove: true }
}

/** At most one tag, and all of it in one repository. */
function isSingle(references: string[]): boolean {
  if (references.length <= 1) return true
  const tags = references.filter((reference) => !hasDigest(reference))
  return tags.length <= 1 && new Set(references.map(nameOf)).size === 1
}

function hasDigest(reference: string): boolean {
  return reference.includes('@')
}

function nameOf(reference: string): string {
  return fullName(parseReference(reference))
}

function short(id: string): string {
  return id.replace(/^sha256:/, '').slice(0, 12)
}

function conflict(id: string, message: string): HoldfastError {
  return new HoldfastError('HF_IMAGE_IN_USE', `conflict: ${message}`, { details: { image: id } })
}
