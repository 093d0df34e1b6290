/** The `ipam` part of a configuration: ranges in host-local's words, or another plugin's name. */
import {
  contains,
  lastAddress,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  type Prefix,
} from '../address.ts'
import type { Range } from '../ipam.ts'
import { Fields, inPath, invalid } from './fields.ts'
import type { IpamConfig, Route } from './network-config.ts'

/**
 * No type: our own. `none`: no addresses at all, and so has an empty object, which is how the reference bridge plugin is told
 * to connect and nothing else; unless the runtime has ranges for it.
 */
export function validateIpam(config: Fields): IpamConfig {
  const fields = config.object('ipam')
  const type = fields?.text('type')
  if (type === 'none') return { from: 'nowhere' }
  if (type !== undefined) {
    if (type.includes('/')) throw invalid('ipam.type', 'must be a name, not a path')
    return { from: 'caller' }
  }
  // The reference plugin's interface that stays down goes with an absent ipam.
  if (fields === undefined && config.flag('disableContainerInterface')) return { from: 'nowhere' }
  if (fields === undefined) return { from: 'own', sets: [], routes: [], reserved: [] }
  const isEmpty = Object.keys(config.raw('ipam') as object).length === 0
  if (isEmpty && !config.object('runtimeConfig')?.has('ipRanges')) return { from: 'nowhere' }
  const sets = fields.list('ranges', validateRangeSet)
  const single = fields.has('subnet')
    ? [[validateRange(fields.raw('subnet') && ipamObject(fields), 'ipam')]]
    : []
  return {
    from: 'own',
    sets: checkSets([...single, ...sets], 'ipam.ranges'),
    routes: fields.list('routes', validateRoute),
    reserved: fields.list('reserved', validateReservation),
  }
}

function ipamObject(fields: Fields): unknown {
  return Object.fromEntries(
    ['subnet', 'rangeStart', 'rangeEnd', 'gateway'].map((key) => [key, fields.raw(key)]),
  )
}

/** Alternatives: an address comes from one of them. All of one family. */
export function validateRangeSet(value: unknown, path: string): Range[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid(path, 'must be a list of ranges')
  const ranges = value.map((range, index) => validateRange(range, `${path}[${index}]`))
  if (new Set(ranges.map(({ subnet }) => subnet.family)).size > 1) {
    throw invalid(path, 'mixes IPv4 and IPv6', 'Each set gives one address: write a set for each family.')
  }
  return ranges
}

/** No two ranges may have an address in common: it would be handed out by whichever comes first. */
export function checkSets(sets: Range[][], path: string): Range[][] {
  const all = sets.flat()
  all.forEach((a, at) => {
    const clash = all
      .slice(at + 1)
      .some((b) => a.subnet.family === b.subnet.family && a.first <= b.last && b.first <= a.last)
    if (clash) throw invalid(path, 'ranges overlap')
  })
  return sets
}

function validateRange(value: unknown, path: string): Range {
  const fields = new Fields(value, path)
  const text = fields.text('subnet')
  if (text === undefined) throw invalid(path, 'a range needs a subnet')
  const subnet = inPath(fields.at('subnet'), () => parsePrefix(text, 'subnet'))
  const { family } = subnet
  if (subnet.length > (family === 4 ? 30 : 126)) {
    throw invalid(fields.at('subnet'), `${text} has no room for a gateway and a container`)
  }
  // IPv4 keeps its last address for broadcasts.
  const bounds = { first: subnet.value + 1n, last: lastAddress(subnet) - (family === 4 ? 1n : 0n) }
  const host = (key: string): bigint | undefined => {
    const written = fields.text(key)
    if (written === undefined) return undefined
    const address = inPath(fields.at(key), () => parseAddress(written, key))
    if (!contains(subnet, address) || address.value < bounds.first || address.value > bounds.last) {
      throw invalid(fields.at(key), `${written} is no host of ${text}`)
    }
    return address.value
  }
  const [first, last] = [host('rangeStart') ?? bounds.first, host('rangeEnd') ?? bounds.last]
  if (first > last) throw invalid(fields.at('rangeEnd'), 'is below rangeStart')
  return { subnet, first, last, gateway: { family, value: host('gateway') ?? bounds.first } }
}

/** An address or a network that is never handed out by choice. */
function validateReservation(value: unknown, path: string): Prefix {
  if (typeof value !== 'string') throw invalid(path, 'must be an address or a network')
  return inPath(path, () => {
    if (value.includes('/')) return parsePrefix(value, 'reserved')
    const address = parseAddress(value, 'reserved')
    return { ...address, length: address.family === 4 ? 32 : 128 }
  })
}

export function validateRoute(value: unknown, path: string): Route {
  const fields = new Fields(value, path)
  const dst = fields.text('dst')
  if (dst === undefined) throw invalid(path, 'a route needs a destination (dst)')
  const { family } = inPath(fields.at('dst'), () => parseInterfaceAddress(dst, 'dst'))
  const gw = fields.text('gw')
  if (gw !== undefined && inPath(fields.at('gw'), () => parseAddress(gw, 'gw')).family !== family) {
    throw invalid(fields.at('gw'), `${gw} is not of the family of ${dst}`)
  }
  const numbers = (['mtu', 'advmss', 'priority', 'table', 'scope'] as const).flatMap((key) => {
    const number = fields.integer(key, 0, key === 'scope' ? 255 : 0xffff_ffff)
    return number === undefined ? [] : [[key, number] as const]
  })
  return { dst, ...(gw !== undefined && { gw }), ...Object.fromEntries(numbers) }
}
