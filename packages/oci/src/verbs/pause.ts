/** `pause` and `resume`. */
import { HoldfastError } from '@holdfast/errors'
import { pauseCgroup, resumeCgroup } from '@holdfast/shim/library'
import type { Call } from '../front-end/call.ts'
import { onlyId, parseOptions } from '../front-end/options.ts'
import * as store from '../store.ts'

export async function pause({ request }: Call): Promise<void> {
  const record = store.load(request.root, onlyId('pause', parseOptions(request.args, {})))
  const status = store.statusOf(request.root, record)
  if (status !== 'running' && status !== 'created')
    throw new HoldfastError('HF_CONTAINER_STATE', `container not running or created: ${status}`)
  await pauseCgroup(record.cgroups)
}

export function resume({ request }: Call): void {
  const record = store.load(request.root, onlyId('resume', parseOptions(request.args, {})))
  if (store.statusOf(request.root, record) !== 'paused')
    throw new HoldfastError('HF_CONTAINER_STATE', 'container not paused')
  resumeCgroup(record.cgroups)
}
