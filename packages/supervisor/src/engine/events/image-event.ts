import type { ImageEvent } from '@holdfast/images'
import type { EventBus } from './event-bus.ts'

/** With the image's labels. Docker's `name` is a reference where the image was given one, and else its id. */
export function imageEvent(events: EventBus, { action, id, reference, labels }: ImageEvent): void {
  const name = action === 'tag' ? (reference ?? id) : id
  events.publish('image', action, id, { ...labels, name })
}
