import { HoldfastError } from '@holdfast/errors'
import * as v from 'valibot'
import type { VolumeRecord } from '../../engine/engine.ts'
import { anonymousLabel } from '../../engine/mounts/volumes.ts'
import { Filters } from '../filters.ts'
import { flag } from '../query.ts'
import { renderVolume } from '../render/volume.ts'
import type { Call, Route } from '../route.ts'
import { foldBody, parseFolded, text, textMap } from '../schema/primitives.ts'
import { isZero, refuseUnsupported, unsupported } from '../schema/refuse-unsupported.ts'

export const volumeRoutes: Route[] = [
  { method: 'GET', path: '/volumes', handle: list },
  { method: 'POST', path: '/volumes/create', handle: create },
  { method: 'POST', path: '/volumes/prune', since: 25, handle: prune },
  { method: 'GET', path: '/volumes/{name}', handle: inspect },
  { method: 'DELETE', path: '/volumes/{name}', handle: remove },
]

const known = ['dangling', 'driver', 'label', 'name']

function list(call: Call): void {
  const filters = Filters.parse(call.query.get('filters'), known)
  const dangling = filters.boolean('dangling')
  const used = usedVolumes(call)
  const wanted = call.engine
    .volumes()
    .filter(
      (volume) =>
        (dangling === undefined || dangling !== used.has(volume.name)) &&
        filters.some('driver', (driver) => driver === 'local') &&
        filters.matches('name', [volume.name]) &&
        filters.labels('label', volume.labels),
    )
  call.send(200, { Volumes: wanted.map((volume) => renderVolume(volume)), Warnings: null })
}

function usedVolumes(call: Call): Set<string | undefined> {
  return new Set(call.engine.list().flatMap((record) => record.mounts.map((mount) => mount.Name)))
}

function inspect(call: Call): void {
  const name = call.params['name'] ?? ''
  const volume = call.engine.volumes().find((candidate) => candidate.name === name)
  if (!volume) throw new HoldfastError('HF_VOLUME_NOT_FOUND', `get ${name}: no such volume`)
  call.send(200, renderVolume(volume))
}

const createSchema = v.object({ Name: text, Driver: text, DriverOpts: textMap, Labels: textMap })

async function create(call: Call): Promise<void> {
  const given = await call.json()
  const body = foldBody(createSchema, given === null ? {} : given, ['ClusterVolumeSpec']) // Go's null is the zero value
  refuseUnsupported('', body, { ClusterVolumeSpec: isZero })
  const { Name, Driver, DriverOpts, Labels } = parseFolded(createSchema, body)
  checkDriver(Name, Driver, DriverOpts)
  call.send(201, renderVolume(await call.engine.createVolume(Name, Labels)))
}

/** In dockerd's words, and with its statuses. */
function checkDriver(name: string, driver: string, options: Record<string, string>): void {
  const invalid = (reason: string): HoldfastError =>
    new HoldfastError('HF_BAD_REQUEST', `create ${name}: ${reason}`, { details: { field: 'DriverOpts' } })
  if (driver !== '' && driver !== 'local') {
    const reason = `error looking up volume plugin ${driver}: plugin "${driver}" not found`
    throw new HoldfastError('HF_VOLUME_NOT_FOUND', `create ${name}: ${reason}`, {
      details: { field: 'Driver' },
    })
  }
  for (const option of Object.keys(options)) {
    if (!localOptions.has(option)) throw invalid(`invalid option: "${option}"`)
  }
  if (Object.keys(options).length === 0) return
  for (const needed of ['type', 'device']) {
    if (!options[needed]) throw invalid(`missing required option: "${needed}"`)
  }
  throw unsupported('DriverOpts')
}

/** What dockerd's local driver mounts by; a volume is a directory here. */
const localOptions = new Set(['type', 'o', 'device', 'size'])

async function remove(call: Call): Promise<void> {
  await call.engine.removeVolume(call.params['name'] ?? '', { force: flag(call.query, 'force') })
  call.empty(204)
}

/** The unused ones: until API 1.42 all of them, since then the anonymous ones unless `all` is asked for. */
async function prune(call: Call): Promise<void> {
  const filters = Filters.parse(call.query.get('filters'), ['all', 'label', 'label!'])
  const all = call.api < 42 || filters.boolean('all') === true
  const used = usedVolumes(call)
  const isDoomed = (volume: VolumeRecord) =>
    !used.has(volume.name) &&
    (all || anonymousLabel in volume.labels) &&
    filters.labels('label', volume.labels) &&
    (!filters.has('label!') || !filters.labels('label!', volume.labels))
  const doomed = call.engine.volumes().filter(isDoomed)
  for (const { name } of doomed) await call.engine.removeVolume(name, { force: true })
  call.engine.announcePrune('volume', 0)
  call.send(200, { VolumesDeleted: doomed.map(({ name }) => name), SpaceReclaimed: 0 })
}
