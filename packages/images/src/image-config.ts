/**
 * Reading image configurations that strangers wrote. Known fields are checked and copied into a fresh object; what
 * is unknown stays in the blob alone. OCI image-spec config.md; Docker's is a superset.
 */
import { HoldfastError } from '@holdfast/errors'
import type { ImageConfig, ImageRunConfig } from './image-store.ts'
import { isSha256 } from './names/reference.ts'

export type JsonObject = Record<string, unknown>

/** Overlay stacks 500 layers; a container adds some of its own. */
export const maxLayers = 480

/** Throws HF_INVALID_CONFIG with `details.path`, HF_UNSUPPORTED for an image of another system than Linux. */
export function parseImageConfig(document: Buffer): ImageConfig {
  const root = parseJsonObject(document, 'image configuration')
  const rootfs = object(root, 'rootfs')
  const os = text(root, 'os') ?? 'linux'
  if (os !== 'linux') {
    throw new HoldfastError(
      'HF_UNSUPPORTED',
      `image operating system "${os}" cannot be used on this platform`,
      {
        details: { field: 'os' },
      },
    )
  }
  if (rootfs === undefined || rootfs.type !== 'layers') throw invalid('rootfs.type', 'must be "layers"')
  const diffIds = strings(rootfs, 'diff_ids', 'rootfs.diff_ids') ?? []
  diffIds.forEach((id, i) => {
    if (!isSha256(id)) throw invalid(`rootfs.diff_ids[${i}]`, 'is no sha256 digest')
  })
  if (diffIds.length > maxLayers) throw invalid('rootfs.diff_ids', `has more than ${maxLayers} layers`)
  return {
    architecture: text(root, 'architecture') ?? '',
    os,
    ...optional('variant', text(root, 'variant')),
    ...optional('created', text(root, 'created')),
    ...optional('author', text(root, 'author')),
    config: parseRunConfig(object(root, 'config') ?? {}),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: parseHistory(root.history),
  }
}

/** Parses a document as a JSON object. `what` names it in the error. */
export function parseJsonObject(document: Buffer, what: string): JsonObject {
  const value = parseJson(document, what)
  if (!isObject(value)) throw new HoldfastError('HF_INVALID_CONFIG', `the ${what} is no JSON object`)
  return value
}

export function parseJson(document: Buffer, what: string): unknown {
  try {
    return JSON.parse(document.toString('utf8')) as unknown
  } catch (cause) {
    throw new HoldfastError('HF_INVALID_CONFIG', `the ${what} is no JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseRunConfig(config: JsonObject): ImageRunConfig {
  const at = (key: string) => `config.${key}`
  return {
    ...optional('User', text(config, 'User', at('User'))),
    ...optional('ExposedPorts', keys(config, 'ExposedPorts', at('ExposedPorts'))),
    ...optional('Env', strings(config, 'Env', at('Env'))),
    ...optional('Entrypoint', strings(config, 'Entrypoint', at('Entrypoint'))),
    ...optional('Cmd', strings(config, 'Cmd', at('Cmd'))),
    ...optional('Volumes', keys(config, 'Volumes', at('Volumes'))),
    ...optional('WorkingDir', text(config, 'WorkingDir', at('WorkingDir'))),
    ...optional('Labels', labels(config, 'Labels', at('Labels'))),
    ...optional('StopSignal', text(config, 'StopSignal', at('StopSignal'))),
    ...optional('Healthcheck', object(config, 'Healthcheck', at('Healthcheck'))),
    ...optional('Shell', strings(config, 'Shell', at('Shell'))),
    ...optional('OnBuild', strings(config, 'OnBuild', at('OnBuild'))),
  }
}

function parseHistory(value: unknown): ImageConfig['history'] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid('history', 'must be an array')
  return value.map((item: unknown, i) => {
    const at = `history[${i}]`
    if (!isObject(item)) throw invalid(at, 'must be an object')
    const empty = item.empty_layer
    if (empty !== undefined && typeof empty !== 'boolean')
      throw invalid(`${at}.empty_layer`, 'must be a boolean')
    return {
      ...optional('created', text(item, 'created', `${at}.created`)),
      ...optional('created_by', text(item, 'created_by', `${at}.created_by`)),
      ...optional('author', text(item, 'author', `${at}.author`)),
      ...optional('comment', text(item, 'comment', `${at}.comment`)),
      ...optional('empty_layer', empty),
    }
  })
}

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>)
}

/** Absent and null mean the same: Go writes both. */
function present(from: JsonObject, key: string): unknown {
  return Object.hasOwn(from, key) ? (from[key] ?? undefined) : undefined
}

function text(from: JsonObject, key: string, path = key): string | undefined {
  const value = present(from, key)
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value.includes('\0')) throw invalid(path, 'must be a string without NUL')
  return value
}

function strings(from: JsonObject, key: string, path = key): string[] | undefined {
  const value = present(from, key)
  if (value === undefined) return undefined
  if (!Array.isArray(value)) throw invalid(path, 'must be an array of strings')
  return value.map((item: unknown, i) => {
    if (typeof item === 'string' && !item.includes('\0')) return item
    throw invalid(`${path}[${i}]`, 'must be a string without NUL')
  })
}

function object(from: JsonObject, key: string, path = key): JsonObject | undefined {
  const value = present(from, key)
  if (value === undefined) return undefined
  if (!isObject(value)) throw invalid(path, 'must be an object')
  return value
}

function keys(
  from: JsonObject,
  key: string,
  path: string,
): Record<string, Record<string, never>> | undefined {
  const value = object(from, key, path)
  return value && Object.fromEntries(Object.keys(value).map((name) => [name, {}]))
}

function labels(from: JsonObject, key: string, path: string): Record<string, string> | undefined {
  const value = object(from, key, path)
  if (value === undefined) return undefined
  return Object.fromEntries(
    Object.keys(value).map((name) => [name, text(value, name, `${path}[${JSON.stringify(name)}]`) ?? '']),
  )
}

function invalid(path: string, what: string): HoldfastError {
  return new HoldfastError('HF_INVALID_CONFIG', `invalid image configuration: ${path} ${what}`, {
    details: { path },
  })
}
