/**
 * What `docker save` writes: `manifest.json`, or from before Docker 1.10 `repositories` and a directory for each
 * layer. https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format
 */
import { HoldfastError } from '@holdfast/errors'
import { checkDigest, digestOf } from '../content.ts'
import { isObject, parseJson, parseJsonObject, type JsonObject } from '../image-config.ts'
import { storedReference } from '../image-records.ts'
import type { ReadyImage } from '../task/task.ts'
import { assemble, plainDigest, type Stores } from './assemble.ts'
import { openMember, type Member, type Members } from './members.ts'

/** `manifest.json`: an array of images. */
export async function loadDockerArchive(members: Members, stores: Stores): Promise<ReadyImage[]> {
  const manifest = parseJson(members.document('manifest.json'), 'manifest.json')
  if (!Array.isArray(manifest)) throw invalid('manifest.json', 'must be an array')
  const images: ReadyImage[] = []
  for (const [i, item] of (manifest as unknown[]).entries()) {
    const at = `manifest.json[${i}]`
    if (!isObject(item)) throw invalid(at, 'must be an object')
    const path = item.Config
    if (typeof path !== 'string') throw invalid(`${at}.Config`, 'must be a string')
    const config = members.document(path)
    // The file's name is a digest in every version; only an archive that was tampered with has another.
    const named = /(?:^|\/)([a-f0-9]{64})(?:\.json)?$/.exec(path)?.[1]
    if (named) checkDigest(`image configuration ${path}`, `sha256:${named}`, digestOf(config))
    const layers = strings(item.Layers, `${at}.Layers`).map((layer) => ({
      member: layerMember(members, layer),
    }))
    const references = strings(item.RepoTags, `${at}.RepoTags`).map(storedReference)
    images.push(await assemble({ config, layers, references }, stores))
  }
  return images
}

/** `repositories`: names and tags of the topmost layers; each layer's `json` names its parent. */
export async function loadLegacyArchive(members: Members, stores: Stores): Promise<ReadyImage[]> {
  const tops = new Map<string, string[]>()
  const repositories = parseJsonObject(members.document('repositories'), 'repositories')
  for (const [name, tags] of Object.entries(repositories)) {
    if (!isObject(tags)) throw invalid(`repositories[${JSON.stringify(name)}]`, 'must be an object')
    for (const [tag, id] of Object.entries(tags)) {
      if (typeof id !== 'string' || !/^[a-f0-9]{64}$/.test(id))
        throw invalid(`repositories.${name}.${tag}`, 'is no id')
      tops.set(id, [...(tops.get(id) ?? []), storedReference(`${name}:${tag}`)])
    }
  }
  const images: ReadyImage[] = []
  for (const [id, references] of tops) images.push(await loadLegacyImage(members, { id, references }, stores))
  return images
}

async function loadLegacyImage(
  members: Members,
  image: { id: string; references: string[] },
  stores: Stores,
): Promise<ReadyImage> {
  const chain = legacyChain(members, image.id)
  const layers = chain.map(({ id }) => ({ member: members.need(`${id}/layer.tar`) }))
  const diffIds: string[] = []
  for (const { member } of layers) diffIds.push((await plainDigest(openMember(member))).digest)
  const top = chain.at(-1)!.json
  const dropped = new Set(['id', 'parent', 'parent_id', 'layer_id', 'Size', 'throwaway'])
  const config = {
    ...Object.fromEntries(Object.entries(top).filter(([key]) => !dropped.has(key))),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: chain.map(({ json }) => legacyHistory(json)),
  }
  return assemble(
    { config: Buffer.from(JSON.stringify(config)), layers, references: image.references },
    stores,
  )
}

/** From the lowest layer to `top`. */
function legacyChain(members: Members, top: string): { id: string; json: JsonObject }[] {
  const chain: { id: string; json: JsonObject }[] = []
  const seen = new Set<string>()
  for (let id: string | undefined = top; id !== undefined;) {
    if (seen.has(id)) throw invalid(`${id}/json`, 'is its own ancestor')
    seen.add(id)
    const json: JsonObject = parseJsonObject(members.document(`${id}/json`), `${id}/json`)
    chain.unshift({ id, json })
    const parent: unknown = json.parent
    if (parent !== undefined && (typeof parent !== 'string' || !/^([a-f0-9]{64})?$/.test(parent)))
      throw invalid(`${id}/json.parent`, 'is no id')
    id = parent === '' ? undefined : parent
  }
  return chain
}

function legacyHistory(json: JsonObject): Record<string, unknown> {
  const made = isObject(json.container_config) ? json.container_config.Cmd : undefined
  const created_by = Array.isArray(made)
    ? made.filter((word) => typeof word === 'string').join(' ')
    : undefined
  const { created, author, comment } = json
  return { created, author, comment, created_by }
}

function layerMember(members: Members, path: string): Member {
  const member = members.need(path)
  const named = /^blobs\/sha256\/([a-f0-9]{64})$/.exec(path)?.[1]
  if (named) checkDigest(`layer ${path}`, `sha256:${named}`, member.digest)
  return member
}

function strings(value: unknown, at: string): string[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw invalid(at, 'must be an array of strings')
  return value as string[]
}

function invalid(path: string, what: string): HoldfastError {
  return new HoldfastError('HF_INVALID_CONFIG', `invalid archive: ${path} ${what}`, { details: { path } })
}
