import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'
import { networkIdOf, type NetworkName } from '../network/network-id.ts'

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
  network: NetworkName,
  action: 'connect' | 'disconnect',
): void {
  context.events.publish('network', action, networkIdOf(context, network), {
    container: id,
    name: network,
    type: network === 'none' ? 'null' : network,
  })
}
