import type { NetworkConfig } from './network-config.ts'
import { gatewayName } from './stable-name.ts'

/** The name of a network's chains: that of the link by which its packets come and go, or its own where each container has one. */
export function rulesName({ name, link }: Pick<NetworkConfig, 'name' | 'link'>): string {
  return link.kind === 'bridge' ? gatewayName(link) : `net-${name}`
}
