import { HoldfastError } from '@holdfast/errors'
import { processTable } from '../process-table.ts'
import { text } from '../query.ts'
import type { Call, Route } from '../route.ts'

export const topRoutes: Route[] = [{ method: 'GET', path: '/containers/{id}/top', handle: top }]

async function top(call: Call): Promise<void> {
  const record = call.engine.get(call.params['id'] ?? '')
  if (record.state.pid === 0) {
    throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', `container ${record.id} is not running`)
  }
  const pids = await call.engine.processes(record.id)
  const { titles, processes } = await processTable(pids, text(call.query, 'ps_args') || '-ef')
  call.engine.announce(record.id, 'top')
  call.send(200, { Processes: processes, Titles: titles })
}
