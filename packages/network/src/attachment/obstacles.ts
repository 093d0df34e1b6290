/** What keeps a network from working on this host: for STATUS. */
import { forwardObstacles } from '../forward-policy.ts'
import { nftRun } from '../nft.ts'
import { Host } from './host.ts'
import type { NetworkConfig } from './network-config.ts'
import { findDevice } from './host-device.ts'
import { findParent } from './parent-link.ts'
import { rulesName } from './rules-name.ts'

export interface Obstacle {
  what: string
  fix: string
}

interface Obstacles {
  /** Nothing can be attached. */
  missing: Obstacle[]
  /** It can, and some of its packets are dropped. */
  limits: Obstacle[]
}

export async function obstaclesTo(network: NetworkConfig): Promise<Obstacles> {
  using host = new Host(network.hostNetns)
  const missing: Obstacle[] = []
  const attempt = async (fix: string, step: () => Promise<unknown>) => {
    try {
      await step()
    } catch (error) {
      missing.push({ what: (error as Error).message, fix })
    }
  }
  const { link } = network
  if (link.kind === 'macvlan' || link.kind === 'ipvlan') {
    await attempt('Name a link that is there.', () => findParent(host, link.master))
    return { missing, limits: [] }
  }
  if (link.kind === 'host-device') {
    await attempt('Name a device that is there.', () => findDevice(host, link))
    return { missing, limits: [] }
  }
  await attempt('Install it: apt-get install nftables.', () => nftRun(['--version'], host.netns))
  if (missing.length > 0) return { missing, limits: [] }
  return { missing, limits: await forwardLimits(network) }
}

/** Other people's chains that drop what is forwarded, each with the command that lets this network through. */
export async function forwardLimits(network: NetworkConfig): Promise<Obstacle[]> {
  const obstacles = await forwardObstacles(rulesName(network), network.hostNetns)
  return obstacles.map(({ what, fix }) => ({ what: `forwarded packets are dropped by ${what}`, fix }))
}
