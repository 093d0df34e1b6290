import { HoldfastError } from '@holdfast/errors'
import type { Call, Method, Route } from '../route.ts'

/** Parts of Docker's API that there is no code behind yet: each says by name what is missing. */
const missing: [Method, string, string][] = [
  ['GET', '/containers/{id}/changes', 'listing the changes of a container'],
  ['GET', '/containers/{id}/stats', 'stats'],
  ['POST', '/containers/{id}/update', 'updating the resources of a container'],
  ['HEAD', '/containers/{id}/archive', 'copying files out of and into containers'],
  ['GET', '/containers/{id}/archive', 'copying files out of containers'],
  ['PUT', '/containers/{id}/archive', 'copying files into containers'],
  ['GET', '/containers/{id}/export', 'exporting a container'],
  ['POST', '/commit', 'making an image of a container'],
  ['POST', '/build', 'building images'],
  ['POST', '/build/cancel', 'building images'],
  ['POST', '/session', 'building images with BuildKit'],
  ['POST', '/images/{name*}/push', 'pushing images'],
  ['GET', '/images/get', 'saving images'],
  ['GET', '/images/{name*}/get', 'saving images'],
  ['GET', '/images/search', 'searching a registry'],
  ['GET', '/distribution/{name*}/json', 'asking a registry about an image'],
  ['POST', '/auth', 'logging in to a registry'],
  ['POST', '/networks/create', 'user-defined networks'],
  ['POST', '/networks/{id}/connect', 'connecting containers to further networks'],
  ['POST', '/networks/{id}/disconnect', 'disconnecting containers from networks'],
  ['PUT', '/volumes/{name}', 'cluster volumes'],
]

/** There is no build cache, so that it is always empty. */
const pruneBuildCache: Route = {
  method: 'POST',
  path: '/build/prune',
  handle: (call) => {
    call.engine.announcePrune('builder', 0)
    call.send(200, { CachesDeleted: null, SpaceReclaimed: 0 })
  },
}

const noPlugins: Route[] = [
  { method: 'GET', path: '/plugins', handle: (call) => call.send(200, []) },
  { method: 'GET', path: '/plugins/{name*}', handle: noSuchPlugin },
  { method: 'POST', path: '/plugins/{name*}', handle: refusePlugins },
  { method: 'DELETE', path: '/plugins/{name*}', handle: noSuchPlugin },
]

export const notBuiltRoutes: Route[] = [
  ...missing.map(([method, path, what]): Route => ({ method, path, handle: () => refuse(what) })),
  pruneBuildCache,
  ...noPlugins,
]

function refuse(what: string): never {
  throw new HoldfastError('HF_NOT_IMPLEMENTED', `not built yet: ${what}`)
}

function noSuchPlugin(call: Call): void {
  const name = (call.params['name'] ?? '').replace(/\/json$/, '')
  call.send(404, { message: `plugin "${name}" not found` })
}

function refusePlugins(): never {
  throw new HoldfastError('HF_UNSUPPORTED', 'Holdfast has no plugins')
}
