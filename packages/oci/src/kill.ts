/** `kill --all`: every process of the container's cgroup. One process alone the front end signals itself. */
import { constants } from 'node:os'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { cgroupProcesses, resumeCgroup } from '@holdfast/shim/library'
import type { Call } from './call.ts'
import { parseOptions, usage } from './options.ts'
import * as store from './store.ts'

const SIGKILL = 9

export function killAll({ request }: Call): void {
  const { on, args } = parseOptions(request.args, { switches: ['all'], aliases: { a: 'all' } })
  const [id, name = 'TERM'] = args
  if (id === undefined || args.length > 2)
    throw usage('"kill" requires a minimum of 1 argument: a container id')
  const signal = signalNumber(name)
  const record = store.load(request.root, id)
  const status = store.statusOf(request.root, record)
  if (status === 'stopped' && !on.has('all'))
    throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'container not running')
  const pids = on.has('all') ? cgroupProcesses(record.cgroups) : [record.pid]
  for (const pid of pids) send(pid, signal)
  if (status === 'paused' && signal === SIGKILL) resumeCgroup(record.cgroups)
}

export function signalNumber(text: string): number {
  if (/^\d+$/.test(text) && Number(text) <= 64) return Number(text)
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG')
  const number = constants.signals[name as NodeJS.Signals]
  if (number === undefined) throw usage(`unknown signal ${JSON.stringify(text)}`)
  return number
}

function send(pid: number, signal: number): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}
