/** Published ports as elements of the rules' maps, there and back. */
import {
  addressBytes,
  addressFromBytes,
  contains,
  formatAddress,
  isUnspecified,
  parseAddress,
  type Address,
} from '../address.ts'
import type { PublishedPort } from '../bridge.ts'
import type { RulesContext } from '../open-network/context.ts'
import {
  concatenation,
  dumpElements,
  parseElements,
  portBytes,
  type ElementRequest,
} from '../netlink/nfnetlink.ts'
import { protocolNumbers } from '../netlink/protocol-numbers.ts'
import { publishMaps } from '../ruleset.ts'

/** Whether the kernel can translate this port: not on [::1], and not to another family. */
export function isTranslated({ hostIp }: PublishedPort, addresses: string[]): boolean {
  const isV6 = hostIp.includes(':')
  return hostIp !== '::1' && addresses.some((address) => address.includes(':') === isV6)
}

/** What translates these ports to the container with these addresses, those aside that only a relay can serve. */
export function elementsOf(
  { options }: { options: { table: string } },
  addresses: string[],
  ports: PublishedPort[],
): ElementRequest[] {
  return ports
    .filter((port) => isTranslated(port, addresses))
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
          table: options.table,
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

/** Elements that lead to an address of this network, keyed by `elementKey`. None where the table is gone. */
export async function presentElements(
  context: Pick<RulesContext, 'options' | 'plan' | 'netfilter'>,
): Promise<Map<string, ElementRequest>> {
  const present = new Map<string, ElementRequest>()
  const { table } = context.options
  for (const range of context.plan.ranges) {
    for (const set of Object.values(publishMaps[range.subnet.family])) {
      const replies = await context.netfilter.dump(dumpElements({ table, set }, ['ENOENT']))
      for (const { key, data } of replies.flatMap(parseElements)) {
        if (!data || !contains(range.subnet, targetOf(data))) continue
        const request = { table, set, elements: [{ key: [key], data: [data] }] }
        present.set(elementKey(request), request)
      }
    }
  }
  return present
}

/** The container that an element's data leads to. */
export function targetOf(data: Buffer): Address {
  return addressFromBytes(data.subarray(0, data.length === 8 ? 4 : 16))
}

/** Set, key and data of an element's request, as text. */
export function elementKey({ set, elements }: ElementRequest): string {
  const hex = (parts: Buffer[] = []) => concatenation(parts).toString('hex')
  return elements.map(({ key, data }) => `${set} ${hex(key)} ${hex(data)}`).join()
}

/** For the log: `tcp 8080 → 10.1.2.3 port 80`. */
export function describeElement({ set, elements }: ElementRequest): string {
  return elements
    .map(({ key, data = [] }) => {
      const [place, target] = [concatenation(key), concatenation(data)]
      const size = target.length === 8 ? 4 : 16
      const number = place[0]
      const protocol =
        Object.entries(protocolNumbers).find(([, each]) => each === number)?.[0] ?? `protocol ${number}`
      const hostIp = set.endsWith('any')
        ? ''
        : `${formatAddress(addressFromBytes(place.subarray(4, 4 + size)))} `
      const container = formatAddress(targetOf(target))
      return `${protocol} ${hostIp}${place.readUInt16BE(place.length - 4)} → ${container} port ${target.readUInt16BE(size)}`
    })
    .join()
}
