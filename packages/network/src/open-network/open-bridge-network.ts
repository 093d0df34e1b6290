/** Opens a bridge network: the one place where its parts meet. */
import { Mutex } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import type { BridgeOptions, OpenBridgeNetwork } from '../bridge.ts'
import type { NetworkContext, Publication } from './context.ts'
import { forwardObstacles } from '../forward-policy.ts'
import { HeldSockets } from '../ports/held-sockets.ts'
import { ensureBridge, ensureRules } from '../host-bridge.ts'
import { Ipam } from '../ipam.ts'
import { NetlinkSocket, NETLINK_NETFILTER, NETLINK_ROUTE } from '../netlink/netlink.ts'
import { readSysctl } from '../netns.ts'
import { Listeners, OpenNetwork } from './open-network.ts'
import { EgressFilter } from '../policy/egress-filter.ts'
import { deleteLink } from '../netlink/rtnetlink.ts'
import { releaseSubnet } from '../subnet-reservation.ts'
import { validateOptions } from '../validate.ts'

export const openBridgeNetwork: OpenBridgeNetwork = async (options) => {
  const plan = validateOptions(options)
  if (process.geteuid?.() !== 0) {
    throw new HoldfastError('HF_NO_ROOT', `opening network ${options.name} needs root`, {
      hint: 'Links, rules and sysctls of the host are changed: run it as root.',
    })
  }
  const hasIpv6 = readSysctl('ipv6/conf/default/accept_ra') !== undefined
  if (!hasIpv6) plan.defaultHostIps = plan.defaultHostIps.filter(({ family }) => family === 4)
  if (!hasIpv6 && plan.families.includes(6)) throw noIpv6(options)
  const undo: (() => unknown)[] = [() => releaseSubnets(options)]
  const opened = <T extends { close(): void }>(part: T): T => {
    undo.push(() => part.close())
    return part
  }
  try {
    const routeTurns = new Mutex()
    const route = opened(NetlinkSocket.open(NETLINK_ROUTE, options.hostNetns, routeTurns))
    const ipam = opened(new Ipam(options.name, options.stateDir))
    const bridge = await ensureBridge({ options, plan, route })
    if (bridge.created) undo.push(() => route.request([deleteLink(options.bridge)]))
    const [obstacles] = await Promise.all([
      forwardObstacles(options.bridge, options.hostNetns),
      ensureRules(options, plan),
    ])
    releaseSubnets(options)
    const rules = {
      options,
      plan,
      route,
      netfilter: opened(NetlinkSocket.open(NETLINK_NETFILTER, options.hostNetns)),
      published: new Map<string, Publication>(),
      detaching: new Set<Promise<unknown>>(),
      ownerOf: (address: string) => ipam.leases().find((lease) => lease.address === address)?.id,
    }
    const listeners = new Listeners()
    const context: NetworkContext = {
      ...rules,
      egress: opened(new EgressFilter(rules, listeners.tell)),
      routeTurns,
      ipam,
      bridge,
      hasIpv6,
      removal: opened(NetlinkSocket.open(NETLINK_ROUTE, options.hostNetns)),
      held: opened(new HeldSockets(options.hostNetns)),
      removals: new Map(),
    }
    await context.egress.set('network', options.egress)
    return new OpenNetwork(
      context,
      obstacles.map(({ what, fix }) => `forwarded packets are dropped by ${what}: ${fix}`),
      listeners,
    )
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** They are routed from here on, or were not to be had. */
function releaseSubnets({ subnets, hostNetns }: BridgeOptions): void {
  for (const { subnet } of subnets) releaseSubnet(subnet, hostNetns)
}

function noIpv6({ name }: BridgeOptions): HoldfastError {
  return new HoldfastError(
    'HF_UNSUPPORTED',
    `network ${name} has an IPv6 subnet, and this kernel runs without IPv6`,
    {
      hint: 'Boot without ipv6.disable=1, or leave the subnet out.',
      details: { field: 'subnets' },
    },
  )
}
