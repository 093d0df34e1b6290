/** Versions of the CNI specification: the configuration's says how requests and results look. */
import { CniError, cniCodes } from './error.ts'

export const supportedVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const
export type Version = (typeof supportedVersions)[number]
export const newestVersion: Version = '1.1.0'

/** Absent means 0.1.0, says the specification. */
export function checkVersion(value: unknown): Version {
  if (value !== undefined && typeof value !== 'string') {
    throw new CniError(cniCodes.decoding, 'cniVersion must be a string')
  }
  const wanted = value === undefined || value === '' ? '0.1.0' : value
  const found = supportedVersions.find((version) => version === wanted)
  if (found) return found
  throw new CniError(
    cniCodes.version,
    `CNI version ${wanted} is not supported`,
    `Supported are ${supportedVersions.join(', ')}: set cniVersion to one of these.`,
  )
}

/** Some commands came later. */
export function requireVersion(version: Version, least: Version, command: string): void {
  if (isAtLeast(version, least)) return
  throw new CniError(cniCodes.version, `CNI version ${version} has no ${command}`, `It came with ${least}.`)
}

export function isAtLeast(version: Version, least: Version): boolean {
  return supportedVersions.indexOf(version) >= supportedVersions.indexOf(least)
}
