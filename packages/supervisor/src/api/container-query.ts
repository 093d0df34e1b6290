import { HoldfastError } from '@holdfast/errors'
import type { ContainerRecord } from '../engine/container-record.ts'
import type { Engine } from '../engine/engine.ts'
import { Filters } from './filters.ts'

const known = [
  'ancestor',
  'before',
  'exited',
  'expose',
  'health',
  'id',
  'is-task',
  'isolation',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
]
const healths = ['none', 'starting', 'healthy', 'unhealthy']
const statuses = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']

export interface ListOptions {
  all: boolean
  /** 0: no limit. */
  limit: number
  /** JSON, as the query has it. */
  filters: string | null
}

/** Which containers a list shows. Throws HF_BAD_REQUEST for a filter that isn't known or has a bad value. */
export class ContainerQuery {
  readonly #engine: Engine
  readonly #options: ListOptions
  readonly #filters: Filters
  readonly #ancestors: Set<string> | undefined
  readonly #before: ContainerRecord | undefined
  readonly #since: ContainerRecord | undefined

  constructor(engine: Engine, options: ListOptions) {
    this.#engine = engine
    this.#options = options
    const filters = Filters.parse(options.filters, known)
    this.#filters = filters
    for (const status of filters.values('status')) {
      if (!statuses.includes(status)) throw bad(`invalid filter 'status=${status}'`)
    }
    for (const health of filters.values('health')) {
      if (!healths.includes(health)) throw bad(`unrecognised filter value for health: ${health}`)
    }
    for (const name of ['expose', 'publish'] as const) {
      for (const wanted of filters.values(name)) portRange(name, wanted)
    }
    for (const code of filters.values('exited'))
      if (!/^-?\d+$/.test(code)) throw bad(`invalid filter 'exited=[${code}]'`)
    filters.boolean('is-task')
    this.#ancestors = filters.has('ancestor') ? this.#imageIds(filters.values('ancestor')) : undefined
    this.#before = this.#only('before')
    this.#since = this.#only('since')
  }

  select(): ContainerRecord[] {
    const records = this.#engine.list().filter((record) => this.#isWanted(record))
    return this.#options.limit > 0 ? records.slice(0, this.#options.limit) : records
  }

  #isWanted(record: ContainerRecord): boolean {
    return (
      this.#isShown(record) && this.#hasIdentity(record) && this.#hasState(record) && this.#hasParts(record)
    )
  }

  /** Without `all`, only what runs; a limit, or a filter that speaks of the stopped ones, asks for those too. */
  #isShown(record: ContainerRecord): boolean {
    const filters = this.#filters
    if (this.#options.all || this.#options.limit > 0 || filters.has('status') || filters.has('exited'))
      return true
    return ['running', 'paused', 'restarting'].includes(record.state.status)
  }

  #hasIdentity(record: ContainerRecord): boolean {
    const filters = this.#filters
    return (
      filters.some('id', (id) => record.id.startsWith(id)) &&
      filters.matches('name', [`/${record.name}`, record.name]) &&
      filters.labels('label', record.config.Labels) &&
      (this.#ancestors === undefined || this.#ancestors.has(record.imageId)) &&
      (this.#before === undefined || record.created < this.#before.created) &&
      (this.#since === undefined || record.created > this.#since.created)
    )
  }

  #hasState(record: ContainerRecord): boolean {
    const filters = this.#filters
    return (
      filters.some('status', (status) => record.state.status === status) &&
      filters.some('exited', (code) => hasExited(record) && record.state.exitCode === Number(code)) &&
      filters.some('health', (health) => health === 'none') &&
      filters.some('isolation', (isolation) => isolation === 'default') &&
      filters.boolean('is-task') !== true
    )
  }

  #hasParts(record: ContainerRecord): boolean {
    const filters = this.#filters
    const ports = Object.values(record.networks).flatMap((endpoint) => Object.entries(endpoint.ports))
    return (
      filters.some('volume', (wanted) =>
        record.mounts.some(
          (mount) => mount.Name === wanted || mount.Destination === wanted || mount.Source === wanted,
        ),
      ) &&
      filters.some('network', (wanted) =>
        Object.entries(record.networks).some(
          ([name, { networkId }]) => name === wanted || networkId.startsWith(wanted),
        ),
      ) &&
      filters.some('expose', (wanted) =>
        ports.some(([key]) => isInRange(key, portRange('expose', wanted))),
      ) &&
      // The port on the host, not the container's.
      filters.some('publish', (wanted) =>
        ports.some(([key, bindings]) =>
          bindings?.some(({ HostPort }) =>
            isInRange(`${HostPort}/${key.split('/')[1]}`, portRange('publish', wanted)),
          ),
        ),
      )
    )
  }

  #imageIds(references: string[]): Set<string> {
    const images = this.#engine.images
    return new Set(
      references.flatMap((reference) => {
        try {
          return [images.get(reference).id]
        } catch (error) {
          // An ancestor that isn't there has no containers.
          if (error instanceof HoldfastError) return []
          throw error
        }
      }),
    )
  }

  #only(filter: 'before' | 'since'): ContainerRecord | undefined {
    const [reference] = this.#filters.values(filter)
    return reference === undefined ? undefined : this.#engine.get(reference)
  }
}

function hasExited({ state }: ContainerRecord): boolean {
  return state.finishedAt !== '' && state.status !== 'running' && state.status !== 'paused'
}

interface PortRange {
  first: number
  last: number
  protocol: string
}

/** `80`, `80/udp`, `8000-8010/tcp`. Throws HF_BAD_REQUEST. */
function portRange(filter: string, wanted: string): PortRange {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(wanted)
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
  if (!match || first > last || last > 65_535)
    throw bad(`error while looking up for ${filter} ${wanted}: it is no port, nor a range of ports`)
  return { first, last, protocol: match[3] ?? 'tcp' }
}

/** `key`: `80/tcp`. */
function isInRange(key: string, { first, last, protocol }: PortRange): boolean {
  const [port, own = 'tcp'] = key.split('/')
  return own === protocol && Number(port) >= first && Number(port) <= last
}

function bad(message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message)
}
