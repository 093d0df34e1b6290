/** Routes of any form that CNI has: by a gateway or on the link, with metrics, in any table. */
import {
  formatRoute,
  MessageType,
  parseRoute as parseRouteHeader,
  RouteScope,
} from 'netlink/dist/rt/gen_structs.js'
import { addressBytes, addressFromBytes, formatPrefix, type Address, type Prefix } from '../address.ts'
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Reply, type Request } from './netlink.ts'
import { attribute, attributesOf, nested, u32 } from './netlink-attributes.ts'
import { AF_INET, AF_INET6 } from './protocol-numbers.ts'

export const RT_TABLE_MAIN = 254

/** struct rtmsg; attributes follow. */
export const routeHeaderBytes = 12

const RTAX_MTU = 2
const RTAX_ADVMSS = 8

export interface NewRoute {
  index: number
  destination: Prefix
  /** Absent: the destination is on the link. */
  gateway?: Address | undefined
  mtu?: number | undefined
  advmss?: number | undefined
  priority?: number | undefined
  table?: number | undefined
  /** RT_SCOPE_…; absent: the kernel's word for the kind of route. */
  scope?: number | undefined
}

/** EEXIST is tolerated: a route on the link may be there already, as an address of the same network brought it. */
export function addRoute(route: NewRoute): Request {
  const { index, destination, gateway, mtu, advmss, priority, table = RT_TABLE_MAIN } = route
  const scope = route.scope ?? (gateway || destination.family === 6 ? 0 : RouteScope.LINK)
  const metrics = [
    ...(mtu ? [attribute(RTAX_MTU, u32(mtu))] : []),
    ...(advmss ? [attribute(RTAX_ADVMSS, u32(advmss))] : []),
  ]
  const header = formatRoute({
    family: destination.family === 4 ? AF_INET : AF_INET6,
    dstLen: destination.length,
    table: table < 256 ? table : 0,
    protocol: 'BOOT',
    scope,
    type: 'UNICAST',
  })
  return {
    type: MessageType.NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `RTM_NEWROUTE ${formatPrefix(destination)} on link ${index}`,
    tolerate: ['EEXIST'],
    hints: { ENETUNREACH: 'Its gateway is on no network of the interface.' },
    payload: [
      header,
      ...(destination.length > 0 ? [attribute(1 /* RTA_DST */, addressBytes(destination))] : []),
      ...(gateway ? [attribute(5 /* RTA_GATEWAY */, addressBytes(gateway))] : []),
      attribute(4 /* RTA_OIF */, u32(index)),
      ...(priority ? [attribute(6 /* RTA_PRIORITY */, u32(priority))] : []),
      ...(table >= 256 ? [attribute(15 /* RTA_TABLE */, u32(table))] : []),
      ...(metrics.length > 0 ? [nested(8 /* RTA_METRICS */, metrics)] : []),
    ],
  }
}

export function addDefaultRoute(index: number, gateway: Address): Request {
  return {
    type: MessageType.NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `RTM_NEWROUTE default on link ${index}`,
    tolerate: ['EEXIST'], // another network of the container's was there first, as in Docker
    payload: [
      formatRoute({
        family: gateway.family === 4 ? AF_INET : AF_INET6,
        table: RT_TABLE_MAIN,
        protocol: 'BOOT',
        type: 'UNICAST',
      }),
      attribute(5 /* RTA_GATEWAY */, addressBytes(gateway)),
      attribute(4 /* RTA_OIF */, u32(index)),
    ],
  }
}

/** The route to a link's own network, as the kernel makes it with the address. */
export function addLinkRoute(index: number, destination: Prefix, source: Address): Request {
  return {
    type: MessageType.NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `RTM_NEWROUTE on link ${index}`,
    payload: [
      formatRoute({
        family: destination.family === 4 ? AF_INET : AF_INET6,
        dstLen: destination.length,
        table: RT_TABLE_MAIN,
        protocol: 'KERNEL',
        scope: destination.family === 4 ? RouteScope.LINK : RouteScope.UNIVERSE,
        type: 'UNICAST',
      }),
      attribute(1 /* RTA_DST */, addressBytes(destination)),
      attribute(4 /* RTA_OIF */, u32(index)),
      ...(destination.family === 4 ? [attribute(7 /* RTA_PREFSRC */, addressBytes(source))] : []),
      ...(destination.family === 6 ? [attribute(6 /* RTA_PRIORITY */, u32(256))] : []),
    ],
  }
}

export interface Route {
  destination: Prefix
  table: number
  outputIndex: number | undefined
  gateway: Address | undefined
  priority: number
}

export function dumpRoutes(): Request {
  return { type: MessageType.GETROUTE, what: 'RTM_GETROUTE', payload: [formatRoute({})] }
}

/** Undefined for what is neither IPv4 nor IPv6 or no unicast route. */
export function parseRoute({ data }: Reply): Route | undefined {
  const { family, type, dstLen = 0, table = 0 } = parseRouteHeader(data.subarray(0, routeHeaderBytes))
  if ((family !== AF_INET && family !== AF_INET6) || type !== 'UNICAST') return undefined
  const attributes = attributesOf(data.subarray(routeHeaderBytes))
  const bytes = attributes.get(1 /* RTA_DST */) ?? Buffer.alloc(family === AF_INET ? 4 : 16)
  const gateway = attributes.get(5 /* RTA_GATEWAY */)
  return {
    destination: { ...addressFromBytes(bytes), length: dstLen },
    table: attributes.get(15 /* RTA_TABLE */)?.readUInt32LE() ?? table,
    outputIndex: attributes.get(4)?.readUInt32LE(),
    gateway: gateway && addressFromBytes(gateway),
    priority: attributes.get(6 /* RTA_PRIORITY */)?.readUInt32LE() ?? 0,
  }
}
