import { HoldfastError } from '@holdfast/errors'

/** The versions of Docker's Engine API that are spoken here; the major number has always been 1. */
const offeredMinor = 51
const oldestMinor = 24

export const offeredVersion = `1.${offeredMinor}`
export const oldestVersion = `1.${oldestMinor}`

/** As clients write them: a regular expression is the dearer part of a request's way here. */
const minors = new Map<string, number>()
for (let minor = oldestMinor; minor <= offeredMinor; minor++) minors.set(`/v1.${minor}`, minor)

/**
 * Takes `/v1.41` off a path. An unversioned path gets the version offered. Throws Docker's own sentences for a
 * version that is too new, too old, or none.
 */
export function splitVersion(path: string): { minor: number; path: string } {
  const end = path.indexOf('/', 1)
  const known = end > 0 ? minors.get(path.slice(0, end)) : undefined
  if (known !== undefined) return { minor: known, path: path.slice(end) }
  const match = /^\/v([0-9.]+)(\/.*)$/.exec(path)
  if (!match) return { minor: offeredMinor, path }
  const [, version = '', rest = ''] = match
  return { minor: minorOf(version), path: rest }
}

function minorOf(version: string): number {
  const match = /^(\d{1,4})\.(\d{1,4})$/.exec(version)
  if (!match) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `invalid API version ${version}: expected one such as ${offeredVersion}`,
    )
  }
  const [major, minor] = [Number(match[1]), Number(match[2])]
  if (major > 1 || (major === 1 && minor > offeredMinor)) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `client version ${version} is too new. Maximum supported API version is ${offeredVersion}`,
    )
  }
  if (major < 1 || minor < oldestMinor) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `client version ${version} is too old. Minimum supported API version is ${oldestVersion}, ` +
        'please upgrade your client to a newer version',
    )
  }
  return minor
}
