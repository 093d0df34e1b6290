import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'

/** An event about a container, with the attributes that Docker gives each: its labels, its image and its name. */
export function containerEvent(
  context: EngineContext,
  { record }: Container,
  action: string,
  attributes: Record<string, string> = {},
): void {
  const { config, id, name } = record
  context.events.publish('container', action, id, {
    ...config.Labels,
    image: config.Image,
    name,
    ...attributes,
  })
}

export function networkEvent(
  context: EngineContext,
  { id }: Container,
  network: string,
  action: string,
): void {
  const networkId = network === 'bridge' ? context.networkId : network
  context.events.publish('network', action, networkId, { container: id, name: network, type: network })
}
