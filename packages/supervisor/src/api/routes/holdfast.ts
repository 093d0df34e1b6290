import type { Call, Route } from '../route.ts'

/** Beyond Docker's API. */
export const holdfastRoutes: Route[] = [
  { method: 'GET', path: '/holdfast/info', handle: info },
  { method: 'GET', path: '/holdfast/namespaces', handle: namespaces },
  { method: 'GET', path: '/holdfast/containers/{id}/explain', handle: explain },
]

/** `{ Instance, Engine: EngineInfo }`. */
async function info(call: Call): Promise<void> {
  call.send(200, { Instance: call.engine.instance, Engine: await call.engine.info() })
}

/** A list of NamespaceReport. */
async function namespaces(call: Call): Promise<void> {
  call.send(200, await call.engine.namespaces())
}

/** `{ config, spec }`: the OCI configuration of a container, and what its shim was given with it. */
async function explain(call: Call): Promise<void> {
  call.send(200, await call.engine.explain(call.params['id'] ?? ''))
}
