/** `update`: other limits for a running container. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '@holdfast/errors'
import { planUpdate } from '@holdfast/plan'
import { applyCgroupWrites } from '@holdfast/shim/library'
import type { Call } from '../front-end/call.ts'
import { readAll, readCallerFile } from '../front-end/caller-file.ts'
import { withoutOldZeros } from '../as-runc/leniency.ts'
import { withoutIgnored } from '../as-runc/ignored-limits.ts'
import { onlyId, parseOptions, usage, type Options } from '../front-end/options.ts'
import * as store from '../store.ts'
import { sizeOf } from '../size.ts'
import { limitProperties } from '../systemd/properties.ts'
import { setScopeProperties } from '../systemd/scope.ts'

/** Option → where it goes in `linux.resources`, and how its text reads. */
const fields: Readonly<Record<string, { at: [string, string]; read: (text: string) => number | string }>> = {
  'blkio-weight': { at: ['blockIO', 'weight'], read: integer },
  'cpu-period': { at: ['cpu', 'period'], read: integer },
  'cpu-quota': { at: ['cpu', 'quota'], read: integer },
  'cpu-burst': { at: ['cpu', 'burst'], read: integer },
  'cpu-share': { at: ['cpu', 'shares'], read: integer },
  'cpu-rt-period': { at: ['cpu', 'realtimePeriod'], read: integer },
  'cpu-rt-runtime': { at: ['cpu', 'realtimeRuntime'], read: integer },
  'cpu-idle': { at: ['cpu', 'idle'], read: integer },
  'cpuset-cpus': { at: ['cpu', 'cpus'], read: String },
  'cpuset-mems': { at: ['cpu', 'mems'], read: String },
  memory: { at: ['memory', 'limit'], read: sizeOf },
  'memory-reservation': { at: ['memory', 'reservation'], read: sizeOf },
  'memory-swap': { at: ['memory', 'swap'], read: sizeOf },
  'pids-limit': { at: ['pids', 'limit'], read: integer },
}

/** Obsolete in the kernel, or without a controller here: said, not obeyed. */
const ignored = ['kernel-memory', 'kernel-memory-tcp']
const unsupported = ['l3-cache-schema', 'mem-bw-schema']

export async function update(call: Call): Promise<void> {
  const { request } = call
  const options = parseOptions(request.args, {
    values: ['resources', ...Object.keys(fields), ...ignored, ...unsupported],
    aliases: { r: 'resources' },
  })
  const record = store.load(request.root, onlyId('update', options))
  if (store.statusOf(request.root, record) === 'stopped')
    throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'container not running')
  for (const name of unsupported)
    if (options.value[name] !== undefined)
      throw new HoldfastError('HF_UNSUPPORTED', `--${name} is not supported: it needs Intel RDT`)
  for (const name of ignored)
    if (options.value[name] !== undefined)
      call.warn(`--${name} has no effect: the kernel has no such limit any more`)
  const file = options.value['resources']
  const resources = file === undefined ? fromOptions(options) : await fromFile(call, file)
  const version = record.cgroupVersion
  const directories = record.cgroups.map(({ as, controllers }) => ({ as, controllers }))
  const { ociVersion } = store.loadConfig(request.root, record.id)
  const kept = withoutOldZeros(withoutIgnored(resources, version, call.warn), ociVersion)
  const writes = planUpdate(withSwap(kept, version), { version, directories })
  if (record.unit !== undefined) await setScopeProperties(record.unit, limitProperties(writes))
  applyCgroupWrites(record.cgroups, inOrder(writes, record))
}

interface Memory {
  limit?: number
  swap?: number
}

/** cgroup v1 has memory within memory and swap: without a limit of the one there is none of the other. */
function withSwap(resources: object, version: 1 | 2): object {
  const { memory } = resources as { memory?: Memory }
  if (version === 2 || memory?.limit !== -1 || memory.swap !== undefined) return resources
  return { ...resources, memory: { ...memory, swap: -1 } }
}

const swapFile = 'memory.memsw.limit_in_bytes'

/** Whichever of the two is in the other's way goes first: the larger one is raised before the smaller. */
function inOrder<Write extends { file: string; value: string }>(
  writes: Write[],
  { cgroups, cgroupVersion }: store.ContainerRecord,
): Write[] {
  const swap = writes.find(({ file }) => file === swapFile)
  const memory = cgroups.find(({ controllers }) => controllers.includes('memory'))
  if (cgroupVersion === 2 || !swap || !memory) return writes
  const now = Number(readFileSync(join(memory.path, swapFile), 'latin1'))
  const raised = Number(swap.value) === -1 || Number(swap.value) > now
  return raised ? [swap, ...writes.filter((each) => each !== swap)] : writes
}

function fromOptions({ value }: Options): object {
  const resources: Record<string, Record<string, number | string>> = {}
  for (const [name, { at, read }] of Object.entries(fields)) {
    const text = value[name]
    if (text !== undefined && text !== '') (resources[at[0]] ??= {})[at[1]] = read(text)
  }
  return resources
}

async function fromFile(call: Call, file: string): Promise<object> {
  const name = file === '-' ? 'standard input' : file
  const content = await (file === '-' ? readInput(call.input) : readCallerFile(call, file))
  let json: unknown
  try {
    json = JSON.parse(content)
  } catch (error) {
    throw usage(`resources in ${name}: ${(error as Error).message}`)
  }
  return withoutDevices(json)
}

function readInput(input: number | undefined): Promise<string> {
  if (input === undefined) throw usage('--resources - reads standard input, which is closed')
  return readAll(input)
}

/** Engines send the whole of `linux.resources`; device rules can't be changed once the container runs. */
function withoutDevices(json: unknown): object {
  if (typeof json !== 'object' || json === null) throw usage('resources must be an object')
  const { devices: _, ...rest } = json as Record<string, unknown>
  return rest
}

function integer(text: string): number {
  if (!/^-?\d{1,19}$/.test(text)) throw usage(`${JSON.stringify(text)} is no integer`)
  return Number(text)
}
