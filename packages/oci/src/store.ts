/**
 * What is known of a container: a directory of its own beneath the runtime root.
 *
 *   record.json   what the planner's verbs need
 *   config.json   the configuration as it was at `create`; later edits of the bundle's have no effect
 *   status        what the front end needs for state, list, kill, start and delete (native/status.c)
 *   door          the socket at which a created container waits; gone once it was started
 *   stage/        the launcher's stage area, always empty here
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { processStat, replaceFile } from '@holdfast/core'
import { HoldfastError, hasCode } from '@holdfast/errors'
import type { ContainerPlan, OciConfig } from '@holdfast/plan'
import { isPaused, type CgroupHandle } from '@holdfast/shim/library'
import { readLeniently } from './as-runc/leniency.ts'
import type { PlantedRoot } from './planted-root.ts'

export type Cgroup = Omit<CgroupHandle, 'dirFd'>

export interface ContainerRecord {
  id: string
  /** Absolute. */
  bundle: string
  /** The call that made it, by the name that its front end chose. */
  madeBy: string
  /** RFC 3339. */
  created: string
  /** Of the init; 0 and '' until it was born. */
  pid: number
  startTime: string
  cgroupVersion: 1 | 2
  cgroups: Cgroup[]
  /** The scope of systemd's that it is. */
  unit?: string
  namespaces: ContainerPlan['namespaces']
  /** Its root is mounted in a mount namespace that it shares. */
  planted?: PlantedRoot
  startable: boolean
  /** It has a session keyring of its own, which an exec joins. */
  keyring: boolean
}

export type Status = 'creating' | 'created' | 'running' | 'paused' | 'stopped'

export const directoryOf = (root: string, id: string): string => join(root, id)

/** Throws HF_NAME_IN_USE, or HF_BAD_REQUEST for what can't be an id. */
export function refuseTaken(root: string, id: string): void {
  if (!isId(id))
    throw new HoldfastError('HF_BAD_REQUEST', `invalid container ID format: ${JSON.stringify(id)}`)
  if (existsSync(directoryOf(root, id))) throw taken(id)
}

function taken(id: string): HoldfastError {
  return new HoldfastError('HF_NAME_IN_USE', `container with given ID already exists: ${id}`)
}

/**
 * Takes the id, with the configuration's `text`. The directory gets its name when it is whole: whatever is killed, it
 * says whose it is. Throws HF_NAME_IN_USE.
 */
export function add(
  root: string,
  { record, config, text }: { record: ContainerRecord; config: OciConfig; text: string },
): void {
  const unborn = unbornOf(root, record.madeBy)
  try {
    mkdirSync(join(unborn, 'stage'), { mode: 0o700, recursive: true })
    writeFileSync(join(unborn, 'config.json'), text, { mode: 0o600 })
    save(unborn, record, config)
    renameSync(unborn, directoryOf(root, record.id))
  } catch (error) {
    rmSync(unborn, { recursive: true, force: true })
    throw hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR') ? taken(record.id) : error
  }
}

/** Where a call's container is until it has its name: no container's id begins with a dot. */
const unbornOf = (root: string, call: string): string => join(root, `.unborn-${call}`)

/** It becomes a directory's and a cgroup's name. */
export function isId(id: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.+-]*$/.test(id) && id.length <= 1024
}

export function save(directory: string, record: ContainerRecord, config: OciConfig): void {
  replaceFile(join(directory, 'record.json'), JSON.stringify(record))
  replaceFile(join(directory, 'status'), statusFile(record, config))
}

function statusFile(record: ContainerRecord, config: OciConfig): string {
  const { head, tail } = stateParts(record, config)
  const hooked = (kind: 'poststart' | 'poststop'): boolean => (config.hooks?.[kind]?.length ?? 0) > 0
  const flags = [
    !record.startable && 'n',
    hooked('poststart') && 'p',
    hooked('poststop') && 's',
    record.unit && 'u',
    record.planted && 'm',
  ]
  const texts = [
    String(record.pid),
    record.startTime,
    freezerFile(record),
    flags.filter(Boolean).join(''),
    head,
    tail,
  ]
  const cgroups = record.cgroups.map(({ path }) => path)
  return [...texts, ...cgroups, '', record.bundle, record.created, ''].join('\0')
}

function freezerFile({ cgroups, cgroupVersion }: ContainerRecord): string {
  if (cgroupVersion === 2) return cgroups[0] ? join(cgroups[0].path, 'cgroup.freeze') : ''
  const freezer = cgroups.find(({ controllers }) => controllers.includes('freezer'))
  return freezer ? join(freezer.path, 'freezer.state') : ''
}

/** The specification's state, and what runc adds to it; between the parts go pid and status. */
function stateParts(record: ContainerRecord, config: OciConfig): { head: string; tail: string } {
  const rest = stateTail(record, config)
  const head = JSON.stringify({ ociVersion: config.ociVersion, id: record.id }, null, 2)
  return { head: `${head.slice(0, -2)},\n`, tail: JSON.stringify(rest, null, 2).slice(2) }
}

function stateTail({ bundle, created }: ContainerRecord, { root, annotations }: OciConfig): object {
  return {
    bundle,
    rootfs: root!.path.startsWith('/') ? root!.path : join(bundle, root!.path),
    created,
    ...(annotations && { annotations }),
    owner: '',
  }
}

/** Throws HF_CONTAINER_NOT_FOUND, in the words that engines look for. */
export function load(root: string, id: string): ContainerRecord {
  try {
    if (!isId(id)) throw notFound()
    return JSON.parse(readFileSync(join(root, id, 'record.json'), 'utf8')) as ContainerRecord
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) throw notFound()
    throw error
  }
}

function notFound(): HoldfastError {
  return new HoldfastError('HF_CONTAINER_NOT_FOUND', 'container does not exist')
}

export function loadConfig(root: string, id: string): OciConfig {
  return readLeniently(readFileSync(join(root, id, 'config.json'), 'utf8'))
}

/** What a call may have left that was killed before its container had a name. */
export function forgetUnborn(root: string, call: string): void {
  rmSync(unbornOf(root, call), { recursive: true, force: true })
}

export function forget(root: string, id: string): void {
  rmSync(directoryOf(root, id), { recursive: true, force: true })
}

export function listIds(root: string): string[] {
  try {
    return readdirSync(root)
      .filter((name) => isId(name) && existsSync(join(root, name, 'record.json')))
      .sort()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

export function statusOf(root: string, record: ContainerRecord): Status {
  if (record.startTime === '') return 'creating'
  if (!isAlive(record)) return 'stopped'
  try {
    if (isPaused(record.cgroups)) return 'paused'
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENODEV', 'HF_UNSUPPORTED')) throw error
  }
  return existsSync(join(root, record.id, 'door')) ? 'created' : 'running'
}

/** Whether the pid still is the process that was recorded, and no zombie. */
export function isAlive({ pid, startTime }: Pick<ContainerRecord, 'pid' | 'startTime'>): boolean {
  const stat = pid > 0 ? processStat(pid) : undefined // 0: not born yet
  return stat !== undefined && !['Z', 'X'].includes(stat.state) && String(stat.startTime) === startTime
}
