/**
 * Other people's firewalls. A packet that our rules accept may still be dropped by a chain of somebody
 * else's, and that is respected: it is named, with what to do about it, and never changed.
 */
import { readFileSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import { inNetns } from './netns.ts'
import { nftList, runProgram } from './nft.ts'

export interface ForwardObstacle {
  /** Who drops: `table ip filter, chain FORWARD`. */
  what: string
  fix: string
}

/** Chains on the forward hook, ours aside, whose policy is drop. `bridge`: for the commands in `fix`. */
export async function forwardObstacles(bridge: string, hostNetns?: number): Promise<ForwardObstacle[]> {
  const objects = (await nftList(['chains'], hostNetns)) ?? []
  const chains = objects.flatMap(({ chain }) => (chain ? [chain] : []))
  const docker = chains.some(
    ({ family, table, name }) => family === 'ip' && table === 'filter' && name === 'DOCKER-USER',
  )
  const obstacles = chains
    .filter(({ hook, policy }) => hook === 'forward' && policy === 'drop')
    .map(({ family, table, name }) => ({
      what: `table ${family} ${table}, chain ${name}`,
      fix: adviceFor(family ?? '', table ?? '', docker, bridge),
    }))
  if (await legacyDrops(hostNetns)) {
    obstacles.push({
      what: 'iptables-legacy, chain FORWARD',
      fix: acceptWith('iptables-legacy', 'FORWARD', bridge),
    })
  }
  return obstacles
}

function adviceFor(family: string, table: string, docker: boolean, bridge: string): string {
  if (table === 'firewalld')
    return `firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && firewall-cmd --reload`
  if (table !== 'filter')
    return `nft add rule ${family} ${table} … iifname ${bridge} accept, and the same for oifname`
  return acceptWith(
    family === 'ip6' ? 'ip6tables' : 'iptables',
    docker && family === 'ip' ? 'DOCKER-USER' : 'FORWARD',
    bridge,
  )
}

/** The replies and published ports that `-o` lets in are the ones that our own chain lets through. */
function acceptWith(program: string, chain: string, bridge: string): string {
  return `${program} -I ${chain} -i ${bridge} -j ACCEPT && ${program} -I ${chain} -o ${bridge} -j ACCEPT`
}

/** Rules of the older iptables do not show in nft. */
async function legacyDrops(hostNetns: number | undefined): Promise<boolean> {
  const tables = inNetns(hostNetns, () => {
    try {
      return readFileSync('/proc/thread-self/net/ip_tables_names', 'latin1')
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return ''
      throw error
    }
  })
  if (!tables.split('\n').includes('filter')) return false
  const listed = await runProgram('iptables-legacy', ['-S', 'FORWARD'], '', hostNetns)
  return listed?.status === 0 && listed.stdout.startsWith('-P FORWARD DROP')
}
