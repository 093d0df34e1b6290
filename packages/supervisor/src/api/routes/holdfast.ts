import { diagnoseHost } from '@holdfast/network'
import * as v from 'valibot'
import { parseBody, text } from '../schema/primitives.ts'
import type { Call, Route } from '../route.ts'

/** Beyond Docker's API. */
export const holdfastRoutes: Route[] = [
  { method: 'GET', path: '/holdfast/info', handle: info },
  { method: 'GET', path: '/holdfast/namespaces', handle: namespaces },
  { method: 'GET', path: '/holdfast/namespaces/named', handle: namedNamespaces },
  { method: 'POST', path: '/holdfast/namespaces', handle: createNamespace },
  { method: 'DELETE', path: '/holdfast/namespaces/{type}/{name}', handle: removeNamespace },
  { method: 'GET', path: '/holdfast/diagnosis', handle: diagnosis },
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

/** A list of NamedNamespace. */
function namedNamespaces(call: Call): void {
  call.send(200, call.engine.namedNamespaces())
}

const namespaceRequest = v.strictObject({ Type: text, Name: text, Owner: text })

/** `{ Type, Name, Owner }`: a NamedNamespace. */
async function createNamespace(call: Call): Promise<void> {
  const { Type, Name, Owner } = parseBody(namespaceRequest, await call.json())
  call.send(201, await call.engine.createNamespace(Type, Name, Owner))
}

function removeNamespace(call: Call): void {
  call.engine.removeNamespace(call.params['type'] ?? '', call.params['name'] ?? '')
  call.empty(204)
}

/** What the host's network can and cannot do, a list of Diagnosis: in the supervisor's own network namespace. */
async function diagnosis(call: Call): Promise<void> {
  call.send(200, await diagnoseHost())
}
