/** `delete`, and the hooks that follow a start. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import { removeCgroups } from '@holdfast/shim/library'
import { shimHooks, type OciConfig } from '@holdfast/plan'
import type { Call } from '../front-end/call.ts'
import { makingOptions } from './create.ts'
import { killInit } from '../ending.ts'
import { runHooks } from '../front-end/hooks.ts'
import { onlyId, parseOptions } from '../front-end/options.ts'
import { uproot } from '../planted-root.ts'
import * as store from '../store.ts'
import { withoutOthers } from '../shared-cgroup.ts'
import { stopScope } from '../systemd/scope.ts'

export async function remove(call: Call): Promise<void> {
  const { root, args } = call.request
  const options = parseOptions(args, { switches: ['force'], aliases: { f: 'force' } })
  const id = onlyId('delete', options)
  const force = options.on.has('force')
  let record: store.ContainerRecord
  try {
    record = store.load(root, id)
  } catch (error) {
    if (!hasCode(error, 'HF_CONTAINER_NOT_FOUND')) throw error
    if (!force) throw error
    if (store.isId(id)) store.forget(root, id) // what a create left that was killed before it wrote anything
    return
  }
  const status = store.statusOf(root, record)
  // One that was only created goes without --force: containerd relies on it, as runc has it.
  if (!force && status !== 'stopped' && status !== 'created')
    throw new HoldfastError(
      'HF_CONTAINER_STATE',
      `cannot delete container ${id} that is not stopped: ${status}`,
    )
  await destroy(call, record)
}

async function destroy(call: Call, record: store.ContainerRecord): Promise<void> {
  const { root } = call.request
  const config = store.loadConfig(root, record.id)
  await killInit(record)
  await removeCgroups(withoutOthers(root, record))
  if (record.unit !== undefined) await stopScope(record.unit)
  if (record.planted) uproot(record.planted)
  store.forget(root, record.id)
  await poststop(call, record, config)
}

/**
 * Destroys what the call has begun to make whose planner was killed: its front end asks, with the arguments of its
 * `create` or `run`. Another call's container of the same id is not touched.
 */
export async function undo(call: Call): Promise<void> {
  const { root, args, call: name } = call.request
  store.forgetUnborn(root, name)
  const id = onlyId('undo', parseOptions(args, makingOptions))
  let record: store.ContainerRecord
  try {
    record = store.load(root, id)
  } catch (error) {
    if (hasCode(error, 'HF_CONTAINER_NOT_FOUND')) return
    throw error
  }
  if (record.madeBy === name) await destroy(call, record)
}

function poststop(call: Call, { id, bundle }: store.ContainerRecord, config: OciConfig): Promise<void> {
  const hooks = shimHooks({ config }).poststop
  return runHooks(call.connection, { kind: 'poststop', hooks, id, bundle, config, status: 'stopped', pid: 0 })
}

/** Of a container that `start` has just started. A failure of one ends it. */
export async function poststart(call: Call): Promise<void> {
  const { root, args } = call.request
  const id = onlyId('poststart', parseOptions(args, {}))
  const record = store.load(root, id)
  const config = store.loadConfig(root, id)
  const { bundle, pid } = record
  const hooks = shimHooks({ config }).poststart
  try {
    await runHooks(call.connection, { kind: 'poststart', hooks, id, bundle, config, status: 'running', pid })
  } catch (error) {
    await killInit(record)
    throw error
  }
}
