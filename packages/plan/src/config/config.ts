/** OCI runtime-spec 1.3 `config.json`: the whole, read and checked. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { hooks } from './hooks.ts'
import { linux } from './linux.ts'
import { mounts } from './mounts.ts'
import { readProcess, type OciProcess } from './process.ts'
import {
  boolean,
  invalid,
  map,
  nonEmpty,
  optional,
  record,
  string,
  struct,
  type Infer,
  type Reader,
  untracked,
} from './reader.ts'
import { refuseUnsupported } from './unsupported.ts'

/** The oldest and the newest version of the specification whose configurations are read. */
export const supportedVersions = { min: '1.0.0', max: '1.3.0' } as const

const newestMinor = Number(supportedVersions.max.split('.')[1])

/** 1.x.y, whatever comes after it: SemVer promises that a 1.x reads older ones. */
const ociVersion: Reader<string> = (value, path) => {
  const version = string(value, path)
  const [, major, minor] =
    /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/.exec(version) ?? []
  if (major === undefined) throw invalid(path, `must be a SemVer version, not ${JSON.stringify(version)}`)
  if (major !== '1' || Number(minor) > newestMinor)
    throw invalid(path, `is ${version}; versions 1.0 to 1.${newestMinor} of the specification are supported`)
  return version
}

const annotations: Reader<Record<string, string>> = (value, path) => {
  const result = map(string)(value, path)
  if (Object.hasOwn(result, '')) throw invalid(path, 'must not have an empty key')
  return result
}

const config = struct({
  ociVersion,
  root: optional(struct({ path: nonEmpty, readonly: optional(boolean) })),
  process: optional((value, path): OciProcess => readProcess(value, path)),
  hostname: optional(string),
  domainname: optional(string),
  mounts: optional(mounts),
  hooks: optional(hooks),
  annotations: optional(annotations),
  linux: optional(linux),
})

/** OCI runtime-spec 1.3, `config.json`: what was read and checked. What is unknown there is not here. */
export type OciConfig = Infer<typeof config>

/**
 * Reads and checks an OCI configuration. Unknown properties are ignored; what is known and not supported is refused
 * (HF_UNSUPPORTED, `details.field`); every other problem is HF_INVALID_CONFIG with `details.path`.
 */
export function parseConfig(json: unknown): OciConfig {
  const result = read(json)
  refuseUnsupported(record(json, ''), result)
  if (!result.root) throw invalid('root', 'is missing')
  return result
}

function read(json: unknown): OciConfig {
  try {
    return config(json, untracked)
  } catch (error) {
    if (!hasCode(error, 'HF_INVALID_CONFIG')) throw error
    return config(json, '')
  }
}

/** The same from text; integers that a double would round stay exact. */
export function parseConfigJson(text: string): OciConfig {
  return parseConfig(parseJson(text))
}

/** Throws HF_INVALID_CONFIG for what is no JSON. Integers that a double would round come as bigints. */
export function parseJson(text: string): unknown {
  try {
    // The reviver costs more than all the rest of the work, so only texts with numbers of 16 digits and more pay.
    return /\d{16}/.test(text)
      ? JSON.parse(text, exact as (key: string, value: unknown) => unknown)
      : JSON.parse(text)
  } catch (error) {
    throw new HoldfastError(
      'HF_INVALID_CONFIG',
      `the configuration is not JSON: ${(error as Error).message}`,
      {
        cause: error,
        details: { path: '' },
      },
    )
  }
}

function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  const lossy = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)
  return lossy && /^-?\d+$/.test(context?.source ?? '') ? BigInt(context?.source ?? '') : value
}
