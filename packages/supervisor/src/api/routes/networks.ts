import { HoldfastError } from '@holdfast/errors'
import type { NetworkRecord } from '../../engine/engine.ts'
import { Filters } from '../filters.ts'
import { renderNetwork } from '../render/network.ts'
import type { Call, Route } from '../route.ts'

export const networkRoutes: Route[] = [
  { method: 'GET', path: '/networks', handle: list },
  { method: 'GET', path: '/networks/', handle: list },
  { method: 'POST', path: '/networks/prune', since: 25, handle: prune },
  { method: 'GET', path: '/networks/{id}', handle: inspect },
  { method: 'DELETE', path: '/networks/{id}', handle: remove },
]

const known = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type']

function list(call: Call): void {
  const filters = Filters.parse(call.query.get('filters'), known)
  const dangling = filters.boolean('dangling')
  const wanted = call.engine.networks().filter(
    (network) =>
      filters.some('driver', (driver) => network.driver === driver) &&
      filters.some('id', (id) => network.id.startsWith(id)) &&
      filters.matches('name', [network.name]) &&
      filters.some('scope', (scope) => scope === 'local') &&
      filters.some('type', (type) => type === 'builtin') &&
      filters.labels('label', {}) &&
      // The built-in networks are never left over.
      dangling !== true,
  )
  call.send(
    200,
    wanted.map((network) => renderNetwork(network, undefined, call.api)),
  )
}

function inspect(call: Call): void {
  const network = find(call.engine.networks(), call.params['id'] ?? '')
  call.send(200, renderNetwork(network, call.engine.list(), call.api))
}

function find(networks: NetworkRecord[], reference: string): NetworkRecord {
  const exact = networks.find(({ name, id }) => name === reference || id === reference)
  const byPrefix = networks.filter(({ id }) => id.startsWith(reference))
  const found = exact ?? (byPrefix.length === 1 ? byPrefix[0] : undefined)
  if (!found) throw new HoldfastError('HF_NETWORK_NOT_FOUND', `network ${reference} not found`)
  return found
}

function remove(call: Call): void {
  const { name } = find(call.engine.networks(), call.params['id'] ?? '')
  throw new HoldfastError('HF_FORBIDDEN', `${name} is a pre-defined network and cannot be removed`)
}

/** The built-in networks stay, and there are no others yet. */
function prune(call: Call): void {
  Filters.parse(call.query.get('filters'), ['until', 'label', 'label!'])
  call.engine.announcePrune('network', 0)
  call.send(200, { NetworksDeleted: null })
}
