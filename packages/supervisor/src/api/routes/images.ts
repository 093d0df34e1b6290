import { hasCode, HoldfastError } from '@holdfast/errors'
import type { Image } from '@holdfast/images'
import type { ImageDeletion } from '../../engine/engine.ts'
import { parseTime } from '../../engine/time.ts'
import { Filters, globMatches } from '../filters.ts'
import { parseTimestamp } from '../go-time.ts'
import { flag, text } from '../query.ts'
import { renderHistory, renderImage, renderImageSummary } from '../render/image.ts'
import type { Call, Route } from '../route.ts'

export const imageRoutes: Route[] = [
  { method: 'GET', path: '/images/json', handle: list },
  { method: 'POST', path: '/images/prune', since: 25, handle: prune },
  { method: 'GET', path: '/images/{name*}/json', handle: inspect },
  { method: 'GET', path: '/images/{name*}/history', handle: history },
  { method: 'POST', path: '/images/{name*}/tag', handle: tag },
  { method: 'DELETE', path: '/images/{name*}', handle: remove },
]

const known = ['before', 'dangling', 'label', 'reference', 'since', 'until']

function list(call: Call): void {
  const { images } = call.engine
  const filters = Filters.parse(call.query.get('filters'), known)
  // Until API 1.40 a pattern for the name could have a query key of its own.
  const legacy = call.api < 41 ? text(call.query, 'filter') : ''
  const patterns = legacy === '' ? filters.values('reference') : [...filters.values('reference'), legacy]
  const [before] = filters.values('before').map((reference) => createdNanos(images.get(reference)))
  const [since] = filters.values('since').map((reference) => createdNanos(images.get(reference)))
  const until = parseTimestamp('until', filters.values('until')[0] ?? null)
  const dangling = filters.boolean('dangling')
  const wanted = images.list().filter((image) => {
    const created = createdNanos(image)
    return (
      (dangling === undefined || dangling === (image.repoTags.length === 0)) &&
      filters.labels('label', image.config.config.Labels ?? {}) &&
      (before === undefined || created < before) &&
      (since === undefined || created > since) &&
      (until === undefined || created < until)
    )
  })
  call.send(
    200,
    wanted.flatMap((image) => underNames(image, patterns)).map((each) => renderImageSummary(each, call.api)),
  )
}

/** The image under those of its names that match, as Docker lists it: not at all where none does. */
function underNames(image: Image, patterns: string[]): Image[] {
  if (patterns.length === 0) return [image]
  const matches = (name: string): boolean => patterns.some((pattern) => referenceMatches(pattern, name))
  const repoTags = image.repoTags.filter(matches)
  const repoDigests = image.repoDigests.filter(matches)
  return repoTags.length + repoDigests.length === 0 ? [] : [{ ...image, repoTags, repoDigests }]
}

function createdNanos(image: Image): bigint {
  return parseTime(image.config.created ?? '') ?? 0n
}

/** A pattern without a tag matches every tag. */
export function referenceMatches(pattern: string, name: string): boolean {
  return globMatches(pattern, name) || globMatches(pattern, name.replace(/@.*$|:[^:/]*$/, ''))
}

function inspect(call: Call): void {
  call.send(200, renderImage(call.engine.images.get(call.params['name'] ?? ''), call.api))
}

function history(call: Call): void {
  call.send(200, renderHistory(call.engine.images.get(call.params['name'] ?? '')))
}

function tag(call: Call): void {
  const repository = text(call.query, 'repo')
  if (repository === '') {
    throw new HoldfastError('HF_INVALID_REFERENCE', 'repository name must have at least one component')
  }
  const name = text(call.query, 'tag')
  call.engine.images.tag(call.params['name'] ?? '', name === '' ? repository : `${repository}:${name}`)
  call.empty(201)
}

async function remove(call: Call): Promise<void> {
  const removed = await call.engine.removeImage(call.params['name'] ?? '', {
    force: flag(call.query, 'force'),
    noPrune: flag(call.query, 'noprune'),
  })
  call.send(200, removed)
}

/** Removes images that no container uses: those without a name, or with `dangling=false` all of them. */
async function prune(call: Call): Promise<void> {
  const { engine } = call
  const filters = Filters.parse(call.query.get('filters'), ['dangling', 'until', 'label', 'label!'])
  const until = parseTimestamp('until', filters.values('until')[0] ?? null)
  const namelessOnly = filters.boolean('dangling') ?? true
  const doomed = engine.images.list().filter((image) => {
    const labels = image.config.config.Labels ?? {}
    return (
      (!namelessOnly || image.repoTags.length === 0) &&
      (until === undefined || createdNanos(image) < until) &&
      filters.labels('label', labels) &&
      (!filters.has('label!') || !filters.labels('label!', labels)) &&
      !engine.list().some((record) => record.imageId === image.id)
    )
  })
  const deleted: ImageDeletion[] = []
  let reclaimed = 0
  for (const image of doomed) {
    try {
      const names = image.repoTags.length > 0 ? image.repoTags : [image.id]
      for (const name of names)
        deleted.push(...(await engine.removeImage(name, { force: false, noPrune: false })))
      reclaimed += image.size
    } catch (error) {
      // Taken into use, or removed, by somebody else in the meantime.
      if (!hasCode(error, 'HF_IMAGE_IN_USE', 'HF_IMAGE_NOT_FOUND')) throw error
    }
  }
  engine.announcePrune('image', reclaimed)
  call.send(200, { ImagesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed })
}
