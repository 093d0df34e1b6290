/**
 * What a run takes into use beside the bridge: dockerd tells of the networks without a link too, and of each volume. In
 * its order, after the bridge's own event: connect, mount … disconnect, unmount.
 */
import type { Container } from '../container.ts'
import type { MountPoint } from '../container-record.ts'
import type { EngineContext } from '../context.ts'
import { networkEvent } from './container-event.ts'

export function announceUse(context: EngineContext, container: Container): void {
  container.inUse = true
  tellLinkless(context, container, 'connect')
  for (const { Name, Destination, Propagation, RW } of volumesOf(container)) {
    context.events.publish('volume', 'mount', Name, {
      container: container.id,
      destination: Destination,
      driver: 'local',
      propagation: Propagation,
      'read/write': String(RW),
    })
  }
}

/** Once for each use, however often a clean-up is tried. */
export function announceRelease(context: EngineContext, container: Container): void {
  if (!container.inUse) return
  container.inUse = false
  tellLinkless(context, container, 'disconnect')
  for (const { Name } of volumesOf(container))
    context.events.publish('volume', 'unmount', Name, { container: container.id, driver: 'local' })
}

function tellLinkless(context: EngineContext, container: Container, action: 'connect' | 'disconnect'): void {
  for (const network of ['none', 'host'] as const)
    if (network in container.record.networks) networkEvent(context, container, network, action)
}

function volumesOf({ record }: Container): (MountPoint & { Name: string })[] {
  return record.mounts.flatMap((mount) => (mount.Name === undefined ? [] : [{ ...mount, Name: mount.Name }]))
}
