/** Published ports in the rules: each is an element of a map, written and withdrawn by netlink. */
import { hasCode, HoldfastError } from '@holdfast/errors'
import {
  addressBytes,
  addressFromBytes,
  contains,
  formatAddress,
  isUnspecified,
  parseAddress,
} from './address.ts'
import type { PublishedPort } from './bridge.ts'
import type { NetworkContext } from './context.ts'
import { ensureRules } from './host-bridge.ts'
import {
  addElements,
  deleteElements,
  dumpElements,
  parseElements,
  portBytes,
  type ElementRequest,
} from './nfnetlink.ts'
import { protocolNumbers } from './port-holder.ts'
import { publishMaps } from './ruleset.ts'
import { forgetFlows } from './udp-flows.ts'

/** Writes the elements; all or none. */
export async function translatePorts(
  context: NetworkContext,
  addresses: string[],
  ports: PublishedPort[],
): Promise<void> {
  const requests = elementsOf(context, addresses, ports)
  if (requests.length === 0) return
  try {
    await context.netfilter.request(addElements(requests))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw portClash(error)
    await reinstall(context)
    await context.netfilter.request(addElements(requests))
  }
  await forgetFlows(context, addresses, ports, 'publish')
}

/** Idempotent. */
export async function withdrawPorts(
  context: NetworkContext,
  addresses: string[],
  ports: PublishedPort[],
): Promise<void> {
  await deletePresent(context, elementsOf(context, addresses, ports))
  await forgetFlows(context, addresses, ports, 'withdraw')
}

/**
 * All in one transaction, as they are there nearly always; where one is not (somebody flushed our table) each
 * has one of its own. A transaction that fails costs the kernel an RCU grace period.
 */
async function deletePresent(context: NetworkContext, requests: ElementRequest[]): Promise<void> {
  if (requests.length === 0) return
  try {
    await context.netfilter.request(deleteElements(requests))
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
    if (requests.length === 1) return
    for (const request of requests) await deletePresent(context, [request])
  }
}

function portClash(error: unknown): unknown {
  if (!hasCode(error, 'EEXIST', 'EBUSY')) return error
  return new HoldfastError('HF_PORT_IN_USE', 'a port is translated to another container already', {
    hint: 'An engine that was killed left it behind: its next start removes what belongs to nobody.',
    cause: error,
  })
}

/** Somebody flushed the host's whole ruleset: ours is written again, with every port that is published. */
async function reinstall(context: NetworkContext): Promise<void> {
  await ensureRules(context.options, context.plan)
  const requests = [...context.published.values()].flatMap(({ addresses, ports }) =>
    elementsOf(context, addresses, ports),
  )
  if (requests.length > 0) await context.netfilter.request(addElements(requests))
}

export function elementsOf(
  context: NetworkContext,
  addresses: string[],
  ports: PublishedPort[],
): ElementRequest[] {
  return ports
    .filter(({ relay }) => !relay)
    .flatMap((port) => {
      const hostIp = parseAddress(port.hostIp, 'hostIp')
      const target = addresses
        .map((text) => parseAddress(text, 'address'))
        .find(({ family }) => family === hostIp.family)
      if (!target) return []
      const names = publishMaps[hostIp.family]
      const protocol = Buffer.of(protocolNumbers[port.protocol])
      const hostPort = portBytes(port.hostPort)
      return [
        {
          table: context.options.table,
          set: isUnspecified(hostIp) ? names.any : names.one,
          elements: [
            {
              key: isUnspecified(hostIp) ? [protocol, hostPort] : [protocol, addressBytes(hostIp), hostPort],
              data: [addressBytes(target), portBytes(port.containerPort)],
            },
          ],
        },
      ]
    })
}

/** Elements that lead to an address of this network, keyed by what identifies them. */
export async function presentElements(context: NetworkContext): Promise<Map<string, ElementRequest>> {
  const present = new Map<string, ElementRequest>()
  const { table } = context.options
  for (const range of context.plan.ranges) {
    const size = range.subnet.family === 4 ? 4 : 16
    for (const set of Object.values(publishMaps[range.subnet.family])) {
      const replies = await context.netfilter.dump(dumpElements(table, set))
      for (const { key, data } of replies.flatMap(parseElements)) {
        if (!contains(range.subnet, addressFromBytes(data.subarray(0, size)))) continue
        const request = { table, set, elements: [{ key: [key], data: [data] }] }
        present.set(elementKey(request), request)
      }
    }
  }
  return present
}

/** Set, key and data of an element's request, as text. */
export function elementKey({ set, elements }: ElementRequest): string {
  const padded = (parts: Buffer[]) =>
    Buffer.concat(parts.flatMap((part) => [part, Buffer.alloc(-part.length & 3)])).toString('hex')
  return elements.map(({ key, data }) => `${set} ${padded(key)} ${padded(data)}`).join()
}

/** For the log: `tcp 8080 → 10.1.2.3 port 80`. */
export function describeElement({ set, elements }: ElementRequest): string {
  return elements
    .map(({ key, data }) => {
      const [place, target] = [Buffer.concat(key), Buffer.concat(data)]
      const size = target.length === 8 ? 4 : 16
      const number = place[0]
      const protocol =
        Object.entries(protocolNumbers).find(([, each]) => each === number)?.[0] ?? `protocol ${number}`
      const hostIp = set.endsWith('any')
        ? ''
        : `${formatAddress(addressFromBytes(place.subarray(4, 4 + size)))} `
      const container = formatAddress(addressFromBytes(target.subarray(0, size)))
      return `${protocol} ${hostIp}${place.readUInt16BE(place.length - 4)} → ${container} port ${target.readUInt16BE(size)}`
    })
    .join()
}
