import { hasCode, HoldfastError } from '@holdfast/errors'
import type { ContainerRecord } from '../../engine/container-record.ts'
import type { Engine } from '../../engine/engine.ts'
import { parseTime } from '../../engine/time.ts'
import { readSpecHost, type SpecHost } from '../../spec/index.ts'
import { ContainerQuery } from '../container-query.ts'
import { errorAnswer } from '../error-answer.ts'
import { Filters } from '../filters.ts'
import { parseTimestamp } from '../go-time.ts'
import { flag, integer, text } from '../query.ts'
import { renderContainer } from '../render/container-inspect.ts'
import { renderSummary } from '../render/container-summary.ts'
import type { Call, Route } from '../route.ts'
import { parseCreate } from '../schema/container-create.ts'

export const containerRoutes: Route[] = [
  { method: 'POST', path: '/containers/create', handle: create },
  { method: 'POST', path: '/containers/prune', since: 25, handle: prune },
  { method: 'GET', path: '/containers/json', handle: list },
  { method: 'GET', path: '/containers/{id*}/json', handle: inspect },
  { method: 'POST', path: '/containers/{id}/rename', handle: rename },
  { method: 'DELETE', path: '/containers/{id*}', handle: remove },
]

async function create(call: Call): Promise<void> {
  const name = text(call.query, 'name').replace(/^\//, '')
  checkPlatform(text(call.query, 'platform'))
  const { config, host, networking } = parseCreate(await call.json())
  if (config.Image === '')
    throw new HoldfastError('HF_BAD_REQUEST', 'no image was named', { details: { field: 'Image' } })
  try {
    const { id, warnings } = await call.engine.create(
      name === '' ? undefined : name,
      config,
      host,
      networking,
    )
    call.send(201, { Id: id, Warnings: warnings })
  } catch (error) {
    // docker takes any 404 here for a missing image, and goes to pull it: a missing network is a bad request.
    const { status, body } = errorAnswer(error)
    if (status !== 404 || hasCode(error, 'HF_IMAGE_NOT_FOUND')) throw error
    call.send(400, body)
  }
}

function checkPlatform(platform: string): void {
  const own = process.arch === 'x64' ? 'amd64' : process.arch
  if (platform === '' || platform === 'linux' || platform === `linux/${own}`) return
  throw new HoldfastError(
    'HF_UNSUPPORTED',
    `platform ${platform} is not supported: this engine runs linux/${own}`,
    {
      details: { field: 'platform' },
    },
  )
}

async function list(call: Call): Promise<void> {
  const { engine, api } = call
  const query = new ContainerQuery(engine, {
    all: flag(call.query, 'all'),
    limit: integer(call.query, 'limit') ?? 0,
    filters: call.query.get('filters'),
  })
  const withSizes = flag(call.query, 'size')
  const now = Date.now()
  const rows = query.select().map(async (record) =>
    renderSummary(record, {
      api,
      now,
      isNamed: isNamed(engine, record),
      sizes: withSizes ? await engine.sizes(record.id) : undefined,
    }),
  )
  call.send(200, await Promise.all(rows))
}

/** Whether the name that the container was made by still means its image. */
export function isNamed({ images }: Engine, record: ContainerRecord): boolean {
  try {
    return images.get(record.config.Image).id === record.imageId
  } catch (error) {
    if (hasCode(error, 'HF_IMAGE_NOT_FOUND')) return false
    throw error
  }
}

async function inspect(call: Call): Promise<void> {
  const { engine, api } = call
  const record = engine.get(call.params['id'] ?? '')
  const sizes = flag(call.query, 'size') ? await engine.sizes(record.id) : undefined
  call.send(200, renderContainer(record, { api, sizes, host: specHost() }))
}

let knownHost: SpecHost | undefined

/** Read once: it can't change while the kernel runs. */
function specHost(): SpecHost {
  knownHost ??= readSpecHost()
  return knownHost
}

async function rename(call: Call): Promise<void> {
  const name = text(call.query, 'name').replace(/^\//, '')
  if (name === '') {
    throw new HoldfastError('HF_BAD_REQUEST', 'Neither old nor new names may be empty', {
      details: { field: 'name' },
    })
  }
  await call.engine.rename(call.params['id'] ?? '', name)
  call.empty(204)
}

async function remove(call: Call): Promise<void> {
  if (flag(call.query, 'link')) {
    throw new HoldfastError('HF_UNSUPPORTED', 'links are not supported', { details: { field: 'link' } })
  }
  await call.engine.remove(call.params['id'] ?? '', {
    force: flag(call.query, 'force'),
    volumes: flag(call.query, 'v'),
  })
  call.empty(204)
}

/** Removes what is not running. One that is started or removed in the meantime is left to whoever did that. */
async function prune(call: Call): Promise<void> {
  const { engine } = call
  const filters = Filters.parse(call.query.get('filters'), ['until', 'label', 'label!'])
  const until = parseTimestamp('until', filters.values('until')[0] ?? null)
  const doomed = engine
    .list()
    .filter(
      ({ state, created, config }) =>
        ['created', 'exited', 'dead'].includes(state.status) &&
        (until === undefined || (parseTime(created) ?? 0n) < until) &&
        filters.labels('label', config.Labels) &&
        (!filters.has('label!') || !filters.labels('label!', config.Labels)),
    )
  const deleted: string[] = []
  let reclaimed = 0
  for (const { id } of doomed) {
    try {
      const { rw } = await engine.sizes(id)
      await engine.remove(id, { force: false, volumes: false })
      deleted.push(id)
      reclaimed += rw
    } catch (error) {
      if (!hasCode(error, 'HF_CONTAINER_NOT_FOUND', 'HF_CONTAINER_RUNNING', 'HF_CONTAINER_STATE')) throw error
    }
  }
  engine.announcePrune('container', reclaimed)
  call.send(200, { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed })
}
