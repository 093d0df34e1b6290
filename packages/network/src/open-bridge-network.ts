/** Opens a bridge network: the one place where its parts meet. */
import { HoldfastError } from '@holdfast/errors'
import { attach } from './attach.ts'
import type {
  Attachment,
  AttachRequest,
  BridgeNetwork,
  BridgeOptions,
  DetachOptions,
  OpenBridgeNetwork,
  PortMapping,
  PublishedPort,
} from './bridge.ts'
import { attachmentKey, type NetworkContext } from './context.ts'
import { detach } from './detach.ts'
import { forwardObstacles } from './forward-policy.ts'
import { HeldSockets } from './held-sockets.ts'
import { holdPorts, releasePorts, samePort } from './hold-ports.ts'
import { ensureBridge, ensureRules, findLink, removeRules } from './host-bridge.ts'
import { Ipam } from './ipam.ts'
import { NetlinkSocket, NETLINK_NETFILTER, NETLINK_ROUTE, Turns } from './netlink.ts'
import { readSysctl } from './netns.ts'
import { translatePorts, withdrawPorts } from './publish.ts'
import { settleRemovals } from './removal.ts'
import { restore } from './restore.ts'
import { releaseSubnet } from './subnet-reservation.ts'
import { deleteLink, setLink } from './rtnetlink.ts'
import { validateOptions, validatePorts } from './validate.ts'

export const openBridgeNetwork: OpenBridgeNetwork = async (options) => {
  const plan = validateOptions(options)
  if (process.geteuid?.() !== 0) {
    throw new HoldfastError('HF_NO_ROOT', `opening network ${options.name} needs root`, {
      hint: 'Links, rules and sysctls of the host are changed: run it as root.',
    })
  }
  const hasIpv6 = readSysctl('ipv6/conf/default/accept_ra') !== undefined
  if (!hasIpv6 && plan.families.includes(6)) throw noIpv6(options)
  const undo: (() => unknown)[] = [() => releaseSubnets(options)]
  const opened = <T extends { close(): void }>(part: T): T => {
    undo.push(() => part.close())
    return part
  }
  try {
    const routeTurns = new Turns()
    const route = opened(NetlinkSocket.open(NETLINK_ROUTE, options.hostNetns, routeTurns))
    const ipam = opened(new Ipam(options.name, options.stateDir))
    const bridge = await ensureBridge({ options, plan, route })
    if (bridge.created) undo.push(() => route.request([deleteLink(options.bridge)]))
    const [obstacles] = await Promise.all([
      forwardObstacles(options.bridge, options.hostNetns),
      ensureRules(options, plan),
    ])
    releaseSubnets(options)
    const context: NetworkContext = {
      options,
      plan,
      route,
      routeTurns,
      ipam,
      ownerOf: (address) => ipam.leases().find((lease) => lease.address === address)?.id,
      bridge,
      hasIpv6,
      removal: opened(NetlinkSocket.open(NETLINK_ROUTE, options.hostNetns)),
      netfilter: opened(NetlinkSocket.open(NETLINK_NETFILTER, options.hostNetns)),
      held: opened(new HeldSockets(options.hostNetns)),
      published: new Map(),
      removals: new Map(),
    }
    return new OpenNetwork(
      context,
      obstacles.map(({ what, fix }) => `forwarded packets are dropped by ${what}: ${fix}`),
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

class OpenNetwork implements BridgeNetwork {
  readonly options: BridgeOptions
  readonly warnings: readonly string[]
  readonly #context: NetworkContext
  #closed = false

  constructor(context: NetworkContext, warnings: string[]) {
    this.options = context.options
    this.warnings = warnings
    this.#context = context
  }

  attach(request: AttachRequest): Promise<Attachment> {
    return attach(this.#context, request)
  }

  detach(attachment: Attachment, options: DetachOptions = {}): Promise<void> {
    return detach(this.#context, attachment, options)
  }

  async publish(attachment: Attachment, mappings: PortMapping[]): Promise<PublishedPort[]> {
    const context = this.#context
    const addresses = attachment.addresses.map(({ address }) => address)
    const ports = await holdPorts(context, attachment.id, validatePorts(context.plan, mappings))
    try {
      await context.route.request([setLink({ link: attachment.hostInterface, hairpin: true })])
      await translatePorts(context, addresses, ports)
    } catch (error) {
      releasePorts(context, ports)
      throw error
    }
    const known = context.published.get(attachmentKey(attachment))?.ports ?? []
    context.published.set(attachmentKey(attachment), { addresses, ports: [...known, ...ports] })
    return ports
  }

  async unpublish(attachment: Attachment, ports: PublishedPort[]): Promise<void> {
    const context = this.#context
    const addresses = attachment.addresses.map(({ address }) => address)
    await withdrawPorts(context, addresses, ports)
    releasePorts(context, ports)
    const known = context.published.get(attachmentKey(attachment))
    if (known) known.ports = known.ports.filter((port) => !ports.some((gone) => samePort(port, gone)))
  }

  restore(attachments: Attachment[]): Promise<string[]> {
    return restore(this.#context, attachments)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const { route, removal, netfilter, held, ipam } = this.#context
    await settleRemovals(this.#context, 'leave')
    for (const part of [route, removal, netfilter, held, ipam]) part.close()
  }

  async remove(): Promise<void> {
    const context = this.#context
    await settleRemovals(context, 'now')
    const lease = context.ipam.leases().find(({ state }) => state === 'held')
    if (lease) {
      throw new HoldfastError('HF_NETWORK_FAILED', `network ${this.options.name} has attached containers`, {
        hint: `Remove ${String(lease.id)} first.`,
        details: { container: lease.id },
      })
    }
    await removeRules(context.options, context.plan)
    const link = await findLink(context.route, context.options.bridge)
    if (link?.index === context.bridge.index)
      await context.removal.request([deleteLink(context.options.bridge)])
    context.ipam.erase()
    await this.close()
  }
}
