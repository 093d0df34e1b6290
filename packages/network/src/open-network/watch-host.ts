/**
 * Notices what others do to a network, by what the kernel tells of links, addresses, routes (rtnetlink) and
 * rules (nf_tables), and repairs it. A message only says that a look is due; what is amiss is found by looking
 * (repair.ts), so a message that was lost or came twice does no harm.
 */
import { MessageType, MulticastGroups, parseLink as parseLinkHeader } from 'netlink/dist/rt/gen_structs.js'
import { contains, formatPrefix } from '../address.ts'
import type { RulesContext } from './context.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../netlink/netlink.ts'
import { listenNetlink, type Notification } from '../netlink/netlink-listener.ts'
import { attributesOf, textOf } from '../netlink/netlink-attributes.ts'
import type { NetworkEvent } from './network-event.ts'
import { NFNL_SUBSYS_NFTABLES, parseElements } from '../netlink/nfnetlink.ts'
import { targetOf } from '../ports/port-elements.ts'
import { repair, type RepairContext } from './repair.ts'
import { dumpLinks, IFLA_IFNAME, linkHeaderBytes, parseLink } from '../netlink/rtnetlink.ts'
import { parseRoute, routeHeaderBytes, RT_TABLE_MAIN } from '../netlink/route-requests.ts'

const NFNLGRP_NFTABLES = 7

const NETCONFA_IFINDEX_ALL = -1
const routeGroups = [
  MulticastGroups.LINK,
  MulticastGroups.IPV4_IFADDR,
  MulticastGroups.IPV6_IFADDR,
  MulticastGroups.IPV4_ROUTE,
  MulticastGroups.IPV6_ROUTE,
  MulticastGroups.IPV4_NETCONF,
  MulticastGroups.IPV6_NETCONF,
]
const AF_BRIDGE = 7
const NFT_MSG_DELTABLE = 2
const NFT_MSG_DELCHAIN = 5
const NFT_MSG_DELRULE = 8
const NFT_MSG_DELSET = 11
const NFT_MSG_DELSETELEM = 14

/** Who flushes rules mostly writes others next: they are let end. */
const settleMilliseconds = 20
/** Where two fight over a host's rules, each gets a second. */
const pauseMilliseconds = 1_000

export interface HostWatch {
  close(): Promise<void>
}

/** `tell` is called for everything found, after it was repaired. */
export function watchHost(context: RepairContext, tell: (event: NetworkEvent) => void): HostWatch {
  const looks = new Looks(context, tell)
  const netns = context.options.hostNetns
  const route = listenNetlink({
    protocol: NETLINK_ROUTE,
    groups: routeGroups,
    netns,
    message(notification) {
      if (concernsLinks(context, notification)) looks.soon()
      const stranger = conflictingRoute(context, notification)
      if (stranger) void tellConflict(context, stranger, tell)
    },
    overrun: () => looks.soon(),
  })
  try {
    const rules = listenNetlink({
      protocol: NETLINK_NETFILTER,
      groups: [NFNLGRP_NFTABLES],
      netns,
      message(notification) {
        if (concernsRules(context, notification)) looks.soon()
      },
      overrun: () => looks.soon(),
    })
    return {
      async close() {
        route.close()
        rules.close()
        await looks.end()
      },
    }
  } catch (error) {
    route.close()
    throw error
  }
}

/** At most one look at a time, and some time between two. */
class Looks {
  readonly #context: RepairContext
  readonly #tell: (event: NetworkEvent) => void
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #repaired = -Infinity
  #ended = false

  constructor(context: RepairContext, tell: (event: NetworkEvent) => void) {
    this.#context = context
    this.#tell = tell
  }

  soon(): void {
    if (this.#timer || this.#ended) return
    const delay = Math.max(settleMilliseconds, this.#repaired + pauseMilliseconds - performance.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#running = this.#running.then(() => this.#look())
    }, delay)
    this.#timer.unref()
  }

  async end(): Promise<void> {
    this.#ended = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #look(): Promise<void> {
    if (this.#ended) return
    try {
      const found = await repair(this.#context, { fix: true })
      if (found.some(({ repaired }) => repaired)) this.#repaired = performance.now()
      for (const event of found) this.#tell(event)
    } catch (error) {
      // The look itself failed: the kernel is short of memory, or the object was closed meanwhile.
      if (!this.#ended) this.#tell({ type: 'watch-failed', error })
    }
  }
}

function concernsLinks({ bridge, published }: RepairContext, { type, data }: Notification): boolean {
  if (type === MessageType.DELADDR) return data.readUInt32LE(4) === bridge.index
  if (type === MessageType.DELROUTE)
    return attributesOf(data.subarray(routeHeaderBytes)).get(4)?.readUInt32LE() === bridge.index
  if (type === MessageType.NEWNETCONF) return switchesForwardingOff(data)
  if (type !== MessageType.DELLINK && type !== MessageType.NEWLINK) return false
  const { index, family, flags } = parseLinkHeader(data.subarray(0, linkHeaderBytes))
  if (type === MessageType.NEWLINK && flags?.up) return false
  // A bridge tells of a port that leaves it with a DELLINK of its own family.
  if (index === bridge.index) return family !== AF_BRIDGE
  const name = textOf(attributesOf(data.subarray(linkHeaderBytes)).get(IFLA_IFNAME))
  return [...published.values()].some(({ link, lost }) => link === name && !lost)
}

/** struct netconfmsg is its family alone, padded. */
function switchesForwardingOff(data: Buffer): boolean {
  const attributes = attributesOf(data.subarray(4))
  const index = attributes.get(1 /* NETCONFA_IFINDEX */)?.readInt32LE()
  return index === NETCONFA_IFINDEX_ALL && attributes.get(2 /* NETCONFA_FORWARDING */)?.readInt32LE() === 0
}

/** Of every message about a table, a chain, a rule, a set or its elements the first attribute is the table's name. */
function concernsRules(context: RulesContext, { type, port, data }: Notification): boolean {
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES) return false
  const message = type & 0xff
  const known = [NFT_MSG_DELTABLE, NFT_MSG_DELCHAIN, NFT_MSG_DELRULE, NFT_MSG_DELSET, NFT_MSG_DELSETELEM]
  if (!known.includes(message)) return false
  const attributes = attributesOf(data.subarray(4))
  if (textOf(attributes.get(1)) !== context.options.table) return false
  if (message !== NFT_MSG_DELSETELEM) return true
  if (port === context.netfilter.port) return false // we did it
  const set = textOf(attributes.get(2)) ?? ''
  if (!set.startsWith('publish')) return true
  return parseElements({ data }).some(
    (element) =>
      element.data && context.plan.ranges.some(({ subnet }) => contains(subnet, targetOf(element.data!))),
  )
}

interface Stranger {
  destination: string
  index: number
}

/** A route that takes packets for the network elsewhere. */
function conflictingRoute(context: RepairContext, { type, data }: Notification): Stranger | undefined {
  if (type !== MessageType.NEWROUTE) return undefined
  const route = parseRoute({ type, data })
  if (!route || route.table !== RT_TABLE_MAIN || route.outputIndex === undefined) return undefined
  if (route.outputIndex === context.bridge.index) return undefined
  const inside = context.plan.ranges.some(
    ({ subnet }) => route.destination.length >= subnet.length && contains(subnet, route.destination),
  )
  return inside ? { destination: formatPrefix(route.destination), index: route.outputIndex } : undefined
}

async function tellConflict(
  { route }: RepairContext,
  { destination, index }: Stranger,
  tell: (event: NetworkEvent) => void,
): Promise<void> {
  const links = await route.dump(dumpLinks()).catch(() => [])
  const link = links.map(parseLink).find((each) => each.index === index)?.name ?? `number ${index}`
  tell({ type: 'route-conflict', destination, link })
}
