/** Entries of connection tracking by netlink (linux/netfilter/nfnetlink_conntrack.h). */
import { addressFromBytes, type Address } from '../address.ts'
import type { Reply, Request } from './netlink.ts'
import { attribute, attributesOf, nested } from './netlink-attributes.ts'
import { nfgenHeader, portBytes } from './nfnetlink.ts'
import { AF_INET, AF_INET6 } from './protocol-numbers.ts'

const NFNL_SUBSYS_CTNETLINK = 1
const IPCTNL_MSG_CT_GET = 1
const IPCTNL_MSG_CT_DELETE = 2
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_ID = 12
const CTA_FILTER = 25

export interface ConntrackFilter {
  protocol: number
  /** Where the client sent to. Absent: anywhere. */
  destination?: Buffer | undefined
  destinationPort: number
  /** Who answers: the container. Absent: anybody. */
  answers?: Buffer | undefined
}

// Bits of CTA_FILTER_{ORIG,REPLY}_FLAGS, which parts of a tuple count.
const F_IP_SRC = 1 << 0
const F_IP_DST = 1 << 1
const F_PROTO_NUM = 1 << 3
const F_PROTO_DST_PORT = 1 << 5

/**
 * Every entry that fits. The kernel does the search (Linux 5.8); deleting by such a filter is too new to rely
 * on.
 */
export function dumpConntrack(filter: ConntrackFilter): Request {
  const { destination, answers } = filter
  const family = (destination ?? answers)?.length === 16 ? AF_INET6 : AF_INET
  const originFlags = F_PROTO_NUM | F_PROTO_DST_PORT | (destination ? F_IP_DST : 0)
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET,
    what: 'IPCTNL_MSG_CT_GET',
    payload: [
      nfgenHeader(family),
      nested(CTA_TUPLE_ORIG, [
        ...(destination ? [nested(CTA_TUPLE_IP, [ipAttribute(destination, 'destination')])] : []),
        nested(CTA_TUPLE_PROTO, [
          attribute(1 /* CTA_PROTO_NUM */, Buffer.of(filter.protocol)),
          attribute(3 /* CTA_PROTO_DST_PORT */, portBytes(filter.destinationPort)),
        ]),
      ]),
      ...(answers ? [nested(CTA_TUPLE_REPLY, [nested(CTA_TUPLE_IP, [ipAttribute(answers, 'source')])])] : []),
      nested(CTA_FILTER, [
        attribute(1 /* CTA_FILTER_ORIG_FLAGS */, flagBytes(originFlags)),
        attribute(2 /* CTA_FILTER_REPLY_FLAGS */, flagBytes(answers ? F_IP_SRC : 0)),
      ]),
    ],
  }
}

/** Every connection that an address began. */
export function dumpFlowsFrom(source: Buffer): Request {
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET,
    what: 'IPCTNL_MSG_CT_GET',
    payload: [
      nfgenHeader(source.length === 16 ? AF_INET6 : AF_INET),
      nested(CTA_TUPLE_ORIG, [nested(CTA_TUPLE_IP, [ipAttribute(source, 'source')])]),
      nested(CTA_FILTER, [
        attribute(1 /* CTA_FILTER_ORIG_FLAGS */, flagBytes(F_IP_SRC)),
        attribute(2 /* CTA_FILTER_REPLY_FLAGS */, flagBytes(0)),
      ]),
    ],
  }
}

/** Who began a connection, and what he sent to. */
export function originOf({
  data,
}: Reply): { source: Address; destination: Address; protocol: number; port?: number } | undefined {
  const tuple = attributesOf(data.subarray(4)).get(CTA_TUPLE_ORIG)
  const parts = tuple && attributesOf(tuple)
  const [ip, proto] = [parts?.get(CTA_TUPLE_IP), parts?.get(CTA_TUPLE_PROTO)]
  if (!ip || !proto) return undefined
  const [addresses, protocol] = [attributesOf(ip), attributesOf(proto)]
  const source = addresses.get(1 /* CTA_IP_V4_SRC */) ?? addresses.get(3 /* CTA_IP_V6_SRC */)
  const destination = addresses.get(2) ?? addresses.get(4)
  const number = protocol.get(1 /* CTA_PROTO_NUM */)?.[0]
  const port = protocol.get(3 /* CTA_PROTO_DST_PORT */)?.readUInt16BE()
  if (!source || !destination || number === undefined) return undefined
  return {
    source: addressFromBytes(source),
    destination: addressFromBytes(destination),
    protocol: number,
    ...(port !== undefined && { port }),
  }
}

/** Deletes one entry of a dump, by the tuple of its original direction and its id. */
export function deleteConntrack({ data }: Reply): Request {
  const attributes = attributesOf(data.subarray(4))
  const id = attributes.get(CTA_ID)
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE,
    what: 'IPCTNL_MSG_CT_DELETE',
    tolerate: ['ENOENT'], // it timed out meanwhile
    payload: [
      nfgenHeader(data.readUInt8(0)),
      nested(CTA_TUPLE_ORIG, [attributes.get(CTA_TUPLE_ORIG) ?? Buffer.alloc(0)]),
      ...(id ? [attribute(CTA_ID, id)] : []),
    ],
  }
}

function ipAttribute(address: Buffer, side: 'source' | 'destination'): Buffer {
  const v4 = address.length === 4
  if (side === 'source') return attribute(v4 ? 1 /* CTA_IP_V4_SRC */ : 3 /* CTA_IP_V6_SRC */, address)
  return attribute(v4 ? 2 /* CTA_IP_V4_DST */ : 4 /* CTA_IP_V6_DST */, address)
}

function flagBytes(flags: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(flags)
  return bytes
}
