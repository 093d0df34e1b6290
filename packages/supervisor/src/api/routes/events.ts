import { HoldfastError } from '@holdfast/errors'
import type { EngineEvent } from '../../engine/events/events.ts'
import { nowNanoseconds } from '../../engine/time.ts'
import { Filters } from '../filters.ts'
import { parseTimestamp } from '../go-time.ts'
import { renderEvent } from '../render/event.ts'
import type { Call, Route } from '../route.ts'
import { drained } from '../session-pump.ts'

export const eventRoutes: Route[] = [{ method: 'GET', path: '/events', handle: events }]

const known = [
  'config',
  'container',
  'daemon',
  'event',
  'image',
  'label',
  'network',
  'node',
  'plugin',
  'scope',
  'secret',
  'service',
  'type',
  'volume',
]

async function events(call: Call): Promise<void> {
  const filters = Filters.parse(call.query.get('filters'), known)
  const since = moment(call, 'since')
  const until = moment(call, 'until')
  if (since !== undefined && until !== undefined && since > until) {
    const [from, to] = [call.query.get('since'), call.query.get('until')]
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      `\`since\` time (${from}) cannot be after \`until\` time (${to})`,
    )
  }
  const filter = {
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    matches: (event: EngineEvent) => eventMatches(filters, event),
  }
  // Headers go out before the first event: clients wait for them.
  const out = call.begin(200, 'application/json')
  for await (const event of call.engine.events(filter, call.gone)) {
    if (!out.write(renderEvent(event))) await drained(out)
  }
  out.end()
}

/** Zero is a moment here: since ever, and until now. For the log it means nothing. */
function moment({ query }: Call, field: 'since' | 'until'): bigint | undefined {
  const value = query.get(field)
  if (value === '0') return field === 'since' ? 0n : nowNanoseconds()
  return parseTimestamp(field, value)
}

export function eventMatches(filters: Filters, event: EngineEvent): boolean {
  const { Type, Action, Actor } = event
  return (
    filters.some('type', (type) => type === Type) &&
    filters.some('scope', (scope) => scope === event.scope) &&
    // An action may carry a detail, as in `exec_start: ls`.
    filters.some('event', (action) => action === Action || Action.startsWith(`${action}:`)) &&
    filters.labels('label', Actor.Attributes) &&
    ['container', 'network', 'volume', 'daemon', 'plugin', 'config', 'secret', 'service', 'node'].every(
      (type) => filters.some(type, (wanted) => Type === type && isActor(event, wanted)),
    ) &&
    filters.some('image', (wanted) => ofImage(event, wanted))
  )
}

function isActor({ Actor }: EngineEvent, wanted: string): boolean {
  return Actor.ID.startsWith(wanted) || (Actor.Attributes['name'] ?? '').startsWith(wanted)
}

/** An image's own events, and those of containers made from it. The tag may be left out. */
function ofImage(event: EngineEvent, wanted: string): boolean {
  if (event.Type !== 'image' && event.Type !== 'container') return false
  const name = event.Actor.Attributes[event.Type === 'image' ? 'name' : 'image'] ?? ''
  const id = event.Type === 'image' ? event.Actor.ID : ''
  return [name, name.replace(/:[^:/]*$/, ''), id, id.replace(/^sha256:/, '')].includes(wanted)
}
