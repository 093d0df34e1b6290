import type { EngineEvent } from '../../engine/events/events.ts'

/** One line of `GET /events`. `status`, `id` and `from` are what the first versions had; clients still read them. */
export function renderEvent(event: EngineEvent): string {
  const { Type, Action, Actor } = event
  const legacy =
    Type === 'container'
      ? { status: Action, id: Actor.ID, from: Actor.Attributes['image'] ?? '' }
      : Type === 'image'
        ? { status: Action, id: Actor.ID }
        : {}
  const body = { ...legacy, Type, Action, Actor, scope: event.scope, time: event.time }
  // 64 bits: as a JavaScript number the last digits would be wrong.
  return `${JSON.stringify(body).slice(0, -1)},"timeNano":${event.timeNano}}\n`
}
