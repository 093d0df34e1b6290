import { HoldfastError } from '@holdfast/errors'
import { Filters } from '../filters.ts'
import { renderVolume } from '../render/volume.ts'
import type { Call, Route } from '../route.ts'

export const volumeRoutes: Route[] = [
  { method: 'GET', path: '/volumes', handle: list },
  { method: 'GET', path: '/volumes/{name}', handle: inspect },
]

const known = ['dangling', 'driver', 'label', 'name']

function list(call: Call): void {
  const filters = Filters.parse(call.query.get('filters'), known)
  const dangling = filters.boolean('dangling')
  const used = new Set(call.engine.list().flatMap((record) => record.mounts.map((mount) => mount.Name)))
  const wanted = call.engine.volumes().filter(
    (volume) =>
      (dangling === undefined || dangling !== used.has(volume.name)) &&
      filters.some('driver', (driver) => driver === 'local') &&
      filters.some('name', (name) => volume.name.includes(name)) &&
      filters.labels('label', volume.labels),
  )
  call.send(200, { Volumes: wanted.map((volume) => renderVolume(volume)), Warnings: null })
}

function inspect(call: Call): void {
  const name = call.params['name'] ?? ''
  const volume = call.engine.volumes().find((candidate) => candidate.name === name)
  if (!volume) throw new HoldfastError('HF_VOLUME_NOT_FOUND', `get ${name}: no such volume`)
  call.send(200, renderVolume(volume))
}
