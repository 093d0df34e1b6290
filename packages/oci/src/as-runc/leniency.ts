/**
 * What runc takes although the specification doesn't, or takes for something else: read as runc reads it. Engines and
 * their older versions write such configurations.
 */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { parseConfig, parseJson, supportedVersions, type OciConfig } from '@holdfast/plan'

type Warn = (text: string) => void
type Json = Record<string, unknown>

/** Throws as `parseConfig` does. */
export function readLeniently(text: string, warn: Warn = () => {}): OciConfig {
  return parseConfig(leniently(parseJson(text), { warn, hasResctrl }))
}

/** In a file of its own for the tests' sake: whether this machine can set shares of caches and of memory bandwidth. */
const hasResctrl = (): boolean => readFileSync('/proc/filesystems', 'latin1').includes('\tresctrl\n')

/** `config.json` as this package's callers mean it. What isn't of the expected type is left for the reader to refuse. */
export function leniently(json: unknown, surroundings: { warn: Warn; hasResctrl: () => boolean }): unknown {
  if (!isObject(json)) return json
  const rest = withKnownVersion(forLinux(json, surroundings.warn), surroundings.warn)
  if (!isObject(json['linux'])) return rest
  const linux: Json = { ...json['linux'] }
  for (const field of ['maskedPaths', 'readonlyPaths'])
    if (Array.isArray(linux[field]))
      linux[field] = fromRoot(linux[field], `linux.${field}`, surroundings.warn)
  if (Array.isArray(linux['devices'])) linux['devices'] = devicesFromRoot(linux['devices'], surroundings.warn)
  if (isObject(linux['resources'])) linux['resources'] = limits(linux['resources'], json['ociVersion'])
  if (namesOnlyAClass(linux['intelRdt']) && !surroundings.hasResctrl()) {
    delete linux['intelRdt']
    surroundings.warn('linux.intelRdt.closID has no effect: this machine has no resctrl')
  }
  for (const maps of ['uidMappings', 'gidMappings']) {
    if (!Array.isArray(linux[maps]) || hasUserNamespace(linux['namespaces'])) continue
    if (linux[maps].length > 0) surroundings.warn(`linux.${maps} has no effect: there is no user namespace`)
    delete linux[maps]
  }
  if (asksForNoFilter(linux['seccomp'])) delete linux['seccomp']
  if (typeof linux['cgroupsPath'] === 'string') linux['cgroupsPath'] = withoutDots(linux['cgroupsPath'])
  return { ...rest, linux }
}

/** Without what is for other systems: hosts of virtual machines write both. */
function forLinux(json: Json, warn: Warn): Json {
  const kept = { ...json }
  for (const section of ['windows', 'solaris', 'freebsd', 'vm', 'zos']) {
    if (!isObject(kept[section])) continue
    delete kept[section]
    warn(`${section} has no effect: containers here are Linux ones`)
  }
  return kept
}

/**
 * A later 1.x only adds to what is known here (SemVer), and an engine that learns of one before its runtime does must not
 * lose all its containers by it.
 */
function withKnownVersion(json: Json, warn: Warn): Json {
  const { ociVersion } = json
  const { max } = supportedVersions
  const [, minor] =
    typeof ociVersion === 'string' ? (/^1\.(\d{1,4})\.\d+(?:[-+]|$)/.exec(ociVersion) ?? []) : []
  if (minor === undefined || Number(minor) <= Number(max.split('.')[1])) return json
  warn(`ociVersion is ${String(ociVersion)}: what it has that ${max} has not is passed over`)
  return { ...json, ociVersion: max }
}

function hasUserNamespace(namespaces: unknown): boolean {
  return !Array.isArray(namespaces) || namespaces.some((each) => isObject(each) && each['type'] === 'user')
}

function asksForNoFilter(seccomp: unknown): boolean {
  return isObject(seccomp) && !seccomp['defaultAction'] && !seccomp['syscalls']
}

/** What `..` would leave is the top of the hierarchy, as for a path that begins with a slash. */
function withoutDots(path: string): string {
  if (!path.split('/').includes('..')) return path
  const cleaned = posix.normalize(`/${path}`)
  return path.startsWith('/') ? cleaned : cleaned.slice(1)
}

/** The specification wants them absolute; runc's working directory is the container's root when it comes to them. */
function fromRoot(paths: unknown[], field: string, warn: Warn): unknown[] {
  return paths.flatMap((path, index) => {
    if (typeof path !== 'string' || path.startsWith('/')) return [path]
    warn(`${field}[${index}] is not absolute: ${path === '' ? 'it names nothing' : 'it is taken from /'}`)
    return path === '' ? [] : [`/${path}`]
  })
}

function devicesFromRoot(devices: unknown[], warn: Warn): unknown[] {
  return devices.map((device, index) => {
    if (!isObject(device) || typeof device['path'] !== 'string' || /^(\/|$)/.test(device['path']))
      return device
    warn(`linux.devices[${index}].path is not absolute: it is taken from /`)
    return { ...device, path: `/${device['path']}` }
  })
}

/** Values that once stood for "not set". */
function limits(resources: Json, ociVersion: unknown): Json {
  const { memory } = resources
  const result = withoutOldZeros(resources, ociVersion)
  if (isObject(memory) && (memory['swappiness'] === noSwappiness || memory['swappiness'] === -1))
    return { ...result, memory: { ...memory, swappiness: undefined } }
  return result
}

/**
 * Since 1.3 the specification says that a limit of no processes allows none; before, it was no limit, and Docker up to 18.09 wrote
 * it into every configuration.
 */
export function withoutOldZeros<Resources extends object>(
  resources: Resources,
  ociVersion: unknown,
): Resources {
  const { pids } = resources as { pids?: unknown }
  const old = typeof ociVersion === 'string' && /^1\.[0-2]\./.test(ociVersion)
  return old && isObject(pids) && pids['limit'] === 0 ? { ...resources, pids: undefined } : resources
}

/** -1 in 64 bits without a sign. */
const noSwappiness = 2n ** 64n - 1n

/** A class that nothing is asked of; a name that can't be one is left to be refused. */
function namesOnlyAClass(intelRdt: unknown): boolean {
  if (!isObject(intelRdt)) return false
  const { closID, ...rest } = intelRdt
  const asked = Object.values(rest).some((value) => value !== undefined && value !== null && value !== '')
  return typeof closID === 'string' && !asked && !/\/|^\.{0,2}$/.test(closID)
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
