/** Compares an attachment with what its setup made, and writes rules again that somebody flushed. */
import { formatAddress, formatPrefix, type Address } from '../address.ts'
import { findLink } from '../netlink/find-link.ts'
import { NETLINK_ROUTE, type NetlinkSocket } from '../netlink/netlink.ts'
import { dumpAddresses, parseAddressReply } from '../netlink/address-requests.ts'
import { dumpRoutes, parseRoute } from '../netlink/route-requests.ts'
import { type Link } from '../netlink/rtnetlink.ts'
import { AttachmentFile } from './attachment-file.ts'
import { Host } from './host.ts'
import { inspectHost } from './inspect-host.ts'
import { inspectRules, recordedAddresses, type RulesLook } from './inspect-rules.ts'
import { routeWishes } from './inside.ts'
import { LeaseFiles, ownerText } from './lease-files.ts'
import { findNetns } from './netns-path.ts'
import type { Result } from './network-config.ts'
import { checkKey } from './setup.ts'
import { StateDir } from './state-dir.ts'
import { openNetlink } from './waiting.ts'
import type { Inspection, InspectRequest } from './verbs.ts'

interface Look extends RulesLook {
  request: InspectRequest
  result: Result
  problems: string[]
  repaired: string[]
}

/** Changes nothing, unless asked to repair. What later plugins of a chain added is none of its business. */
export async function inspect(request: InspectRequest): Promise<Inspection> {
  const key = checkKey(request)
  const { network } = request
  using host = new Host(network.hostNetns)
  const dir = new StateDir(network)
  using _ = await dir.enter()
  // Whoever takes it down meanwhile would find ports published again behind his back.
  using file = await AttachmentFile.open(dir, key, false)
  const record = file?.read()
  if (!record?.result)
    return { result: undefined, aliases: [], problems: ['there is no such attachment'], repaired: [] }
  const { result } = record
  const addresses = recordedAddresses(record)
  const { repair = false } = request
  const look: Look = {
    host,
    dir,
    key,
    request,
    network,
    record,
    result,
    addresses,
    repair,
    problems: [],
    repaired: [],
  }
  const inside = await lookInside(look)
  look.problems.push(...(await inspectHost({ ...look, inside })))
  lookAtLeases(look)
  const rules = await inspectRules(look)
  ;(request.repair ? look.repaired : look.problems).push(...rules)
  const { problems, repaired } = look
  return { result, aliases: record.aliases, problems, repaired }
}

/** The interface, where it is there. */
async function lookInside(look: Look): Promise<Link | undefined> {
  const { key, request, record, problems, result } = look
  using netns = findNetns(request.netns || record.netns)
  if (!netns) {
    problems.push('the network namespace is gone')
    return undefined
  }
  const socket = openNetlink(NETLINK_ROUTE, netns.fd)
  try {
    const link = await findLink(socket, key.interface)
    if (!link) {
      problems.push(`interface ${key.interface} is gone`)
      return undefined
    }
    const down = request.network.link.kind === 'bridge' && request.network.link.disableContainerInterface
    if (!link.up && !down) problems.push(`interface ${key.interface} is down`)
    // A later plugin of the chain may have changed it (tuning), and says so in the last result.
    const told = (request.previous ?? result).interfaces
    const { mac, mtu } = told.find(({ name, sandbox }) => name === key.interface && sandbox) ?? {}
    if (mac !== undefined && link.mac !== mac)
      problems.push(`interface ${key.interface} has MAC address ${link.mac}, not ${mac}`)
    // Before 1.1.0 results say nothing of it.
    if (mtu !== undefined && link.mtu !== mtu)
      problems.push(`interface ${key.interface} has an MTU of ${link.mtu}, not ${mtu}`)
    await lookAtAddresses(look, socket, link)
    return link
  } finally {
    socket.close()
  }
}

async function lookAtAddresses(
  { addresses, result, problems }: Look,
  socket: NetlinkSocket,
  link: Link,
): Promise<void> {
  const present = (await socket.dump(dumpAddresses()))
    .map(parseAddressReply)
    .flatMap((each) =>
      each?.index === link.index ? [formatPrefix({ ...each.address, length: each.prefixLength })] : [],
    )
  for (const { address } of addresses) {
    if (!present.includes(formatPrefix(address))) problems.push(`address ${formatPrefix(address)} is gone`)
  }
  const routes = (await socket.dump(dumpRoutes())).map(parseRoute).flatMap((each) => (each ? [each] : []))
  for (const wish of routeWishes(result.routes, addresses)) {
    // A route whose family has no address here is another plugin's.
    if (!addresses.some(({ address }) => address.family === wish.destination.family)) continue
    const found = routes.some(
      ({ destination, gateway, table: inTable }) =>
        formatPrefix(destination) === formatPrefix(wish.destination) &&
        // A later plugin of the chain (sbr) moves routes to a table of its own.
        (wish.table === undefined || inTable === wish.table) &&
        sameAddress(gateway, wish.gateway),
    )
    if (!found) problems.push(`the route to ${formatPrefix(wish.destination)} is gone`)
  }
}

function sameAddress(a: Address | undefined, b: Address | undefined): boolean {
  return a === undefined || b === undefined ? a === b : formatAddress(a) === formatAddress(b)
}

function lookAtLeases({ dir, key, request, record, problems }: Look): void {
  if (request.network.ipam.from !== 'own' || record.kind === 'chained') return
  const leases = new LeaseFiles(dir.leases)
  for (const address of record.addresses) {
    const owner = leases.ownerOf(address)
    if (owner === ownerText(key)) continue
    problems.push(`the lease of ${address} ${owner === undefined ? 'is gone' : `is ${owner}'s`}`)
  }
}
