import type { NetworkConfig } from './network-config.ts'

/** The name of a network's chains: its bridge's, or its own where there is none. */
export function rulesName({ name, link }: Pick<NetworkConfig, 'name' | 'link'>): string {
  return link.kind === 'bridge' ? link.bridge : `net-${name}`
}
