/** `list`. */
import type { Call } from './call.ts'
import { parseOptions, usage } from './options.ts'
import * as store from './store.ts'
import { table } from './table.ts'

interface State {
  id: string
  pid: number
  status: string
  bundle: string
  created: string
  owner: string
}

export function list({ request, print }: Call): void {
  const { on, value } = parseOptions(request.args, {
    switches: ['quiet'],
    values: ['format'],
    aliases: { q: 'quiet', f: 'format' },
  })
  const states = store.listIds(request.root).flatMap((id) => stateOf(request.root, id))
  if (on.has('quiet')) return print(states.map(({ id }) => `${id}\n`).join(''))
  const format = value['format'] ?? 'table'
  if (format === 'json') return print(states.length === 0 ? 'null' : JSON.stringify(states))
  if (format !== 'table') throw usage('invalid format option')
  const owner = 'root'
  const rows = states.map(({ id, pid, status, bundle, created }) => [
    id,
    String(pid),
    status,
    bundle,
    created,
    owner,
  ])
  print(table([['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'], ...rows]))
}

/** None where it was deleted in this moment. */
function stateOf(root: string, id: string): State[] {
  try {
    const record = store.load(root, id)
    return [store.stateOf(record, store.loadConfig(root, id), store.statusOf(root, record)) as State]
  } catch {
    return []
  }
}
