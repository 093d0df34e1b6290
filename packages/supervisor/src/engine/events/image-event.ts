import type { ImageEvent } from '@holdfast/images'
import type { EventBus } from './event-bus.ts'

/** Docker names an image event's actor by the image's id, and by its reference where it has one. */
export function imageEvent(events: EventBus, { action, id, reference }: ImageEvent): void {
  events.publish('image', action, id, { name: reference ?? id })
}
