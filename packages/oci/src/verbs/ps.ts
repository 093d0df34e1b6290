/** `ps`: the container's processes, as ps(1) of the host shows them. */
import { promisify } from 'node:util'
import { HoldfastError } from '@holdfast/errors'
import { cgroupProcesses } from '@holdfast/shim/library'
import type { Call } from '../front-end/call.ts'
import { parseOptions, usage } from '../front-end/options.ts'
import * as store from '../store.ts'

export async function ps({ request, print }: Call): Promise<void> {
  const { value, args } = parseOptions(request.args, {
    values: ['format'],
    aliases: { f: 'format' },
    stopsAtArgument: true,
  })
  const [id, ...psArgs] = args
  if (id === undefined) throw usage('"ps" requires a minimum of 1 argument: a container id')
  const { cgroups } = store.load(request.root, id)
  if (cgroups.length === 0)
    throw new HoldfastError(
      'HF_UNSUPPORTED',
      'the container has no cgroup of its own, and so no list of processes',
    )
  const pids = cgroupProcesses(cgroups)
  const format = value['format'] ?? 'table'
  if (format === 'json') return print(`${JSON.stringify(pids)}\n`)
  if (format !== 'table') throw usage('invalid format option')
  print(linesOf(await runPs(psArgs.length === 0 ? ['-ef'] : psArgs), new Set(pids)))
}

async function runPs(args: string[]): Promise<string> {
  const { execFile } = await import('node:child_process')
  try {
    return (await promisify(execFile)('ps', args, { maxBuffer: 1 << 26 })).stdout
  } catch (error) {
    throw new HoldfastError('HF_BAD_REQUEST', `ps ${args.join(' ')}: ${(error as Error).message.trim()}`)
  }
}

/** The head, and the lines whose PID column names one of ours. */
function linesOf(output: string, pids: Set<number>): string {
  const [head = '', ...lines] = output.split('\n')
  const column = head.trim().split(/\s+/).indexOf('PID')
  if (column < 0) throw usage("couldn't find PID field in ps output")
  const own = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])))
  return [head, ...own, ''].join('\n')
}
