/**
 * nftables' words for a port inside a network namespace that stands for another one. The resolver listens on any port of
 * 127.0.0.11, and its clients ask at port 53: whoever listens on 0.0.0.0:53 in there is not in its way.
 *
 * ```
 * table ip holdfast-127.0.0.11 (owned by the socket that made it: it goes with that, and nobody else flushes it)
 *   questions  postrouting, last       ip daddr 127.0.0.11 udp dport 53      udp dport set 61234   and for tcp
 *   answers    output, before conntrack  ip saddr 127.0.0.11 udp sport 61234 udp sport set 53      and for tcp
 * ```
 *
 * Bytes are changed and no connection is tracked: a question costs no entry in a table that may be full, the kernel needs
 * no nat, and the container's own rules for what it sends, and its connection tracking, see port 53 alone.
 *
 * The messages are those of linux/netfilter/nf_tables.h; `nft --debug=netlink` shows the same expressions.
 */

const [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END] = [16, 17]
const NFNL_SUBSYS_NFTABLES = 10
const [NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE] = [0, 3, 6]
const [NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND] = [0x1, 0x4, 0x200, 0x400, 0x800]
const NFPROTO_IPV4 = 2
const NFT_TABLE_F_OWNER = 2
const [NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING] = [3, 4]
const [NF_IP_PRI_RAW, NF_IP_PRI_CONNTRACK_HELPER] = [-300, 300]
const NLA_F_NESTED = 0x8000
const NFT_META_L4PROTO = 16
const [NETWORK_HEADER, TRANSPORT_HEADER] = [1, 2]
const register = 1

/** Where a field is: which header, and the offset in there. */
type Field = readonly [header: number, offset: number]

const sourceAddress: Field = [NETWORK_HEADER, 12]
const targetAddress: Field = [NETWORK_HEADER, 16]
const sourcePort: Field = [TRANSPORT_HEADER, 0]
const targetPort: Field = [TRANSPORT_HEADER, 2]

/** Each with the offset of its checksum. */
const protocols = [
  { number: 17, checksum: 6 },
  { number: 6, checksum: 16 },
]

export interface PortRedirect {
  /** IPv4, as text. */
  address: string
  /** What clients ask at. */
  port: number
  /** What is listened on. */
  to: number
}

/** A batch for nftables. EPERM where the address has a redirect of another owner, EEXIST where it has one without. */
export function redirectBatch({ address, port, to }: PortRedirect): Uint8Array {
  const table = `holdfast-${address}`
  const bytes = Uint8Array.from(address.split('.'), Number)
  const question = { table, chain: 'questions', match: targetAddress, address: bytes }
  const answer = { table, chain: 'answers', match: sourceAddress, address: bytes }
  const begin = message(NFNL_MSG_BATCH_BEGIN, 0, batchHeader, [])
  const end = message(NFNL_MSG_BATCH_END, 0, batchHeader, [])
  return concat([
    begin,
    change(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, [
      attribute(1, text(table)),
      attribute(2, u32(NFT_TABLE_F_OWNER)),
    ]),
    chain(table, 'questions', [NF_INET_POST_ROUTING, NF_IP_PRI_CONNTRACK_HELPER]),
    chain(table, 'answers', [NF_INET_LOCAL_OUT, NF_IP_PRI_RAW]),
    ...protocols.flatMap((protocol) => [
      rule({ ...question, field: targetPort, from: port, to, protocol }),
      rule({ ...answer, field: sourcePort, from: to, to: port, protocol }),
    ]),
    end,
  ])
}

function chain(table: string, name: string, [hook, priority]: [number, number]): Uint8Array {
  return change(NFT_MSG_NEWCHAIN, NLM_F_CREATE, [
    attribute(1, text(table)),
    attribute(3, text(name)),
    nested(4, [attribute(1, u32(hook)), attribute(2, u32(priority))]),
    attribute(7, text('filter')),
  ])
}

interface Rewrite {
  table: string
  chain: string
  match: Field
  address: Uint8Array
  protocol: { number: number; checksum: number }
  field: Field
  from: number
  to: number
}

function rule({ table, chain: name, match, address, protocol, field, from, to }: Rewrite): Uint8Array {
  const expressions = [
    load(match, 4),
    equals(address),
    expression('meta', [attribute(1, u32(register)), attribute(2, u32(NFT_META_L4PROTO))]),
    equals(Uint8Array.of(protocol.number)),
    load(field, 2),
    equals(u16(from)),
    expression('immediate', [attribute(1, u32(register)), nested(2, [attribute(1, u16(to))])]),
    store(field, protocol.checksum),
  ]
  return change(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [
    attribute(1, text(table)),
    attribute(2, text(name)),
    nested(4, expressions),
  ])
}

function load([header, offset]: Field, length: number): Uint8Array {
  return expression('payload', [
    attribute(1, u32(register)),
    attribute(2, u32(header)),
    attribute(3, u32(offset)),
    attribute(4, u32(length)),
  ])
}

function equals(value: Uint8Array): Uint8Array {
  return expression('cmp', [
    attribute(1, u32(register)),
    attribute(2, u32(0)),
    nested(3, [attribute(1, value)]),
  ])
}

function store([header, offset]: Field, checksum: number): Uint8Array {
  return expression('payload', [
    attribute(5, u32(register)),
    attribute(2, u32(header)),
    attribute(3, u32(offset)),
    attribute(4, u32(2)),
    attribute(6, u32(1 /* NFT_PAYLOAD_CSUM_INET */)),
    attribute(7, u32(checksum)),
  ])
}

function expression(name: string, data: Uint8Array[]): Uint8Array {
  return nested(1, [attribute(1, text(name)), nested(2, data)])
}

/** struct nfgenmsg: family, version, resource in network order. */
const batchHeader = Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES)

function change(type: number, flags: number, attributes: Uint8Array[]): Uint8Array {
  const number = (NFNL_SUBSYS_NFTABLES << 8) | type
  return message(number, NLM_F_ACK | flags, Uint8Array.of(NFPROTO_IPV4, 0, 0, 0), attributes)
}

/** struct nlmsghdr is in the machine's order, which is little-endian here (x64, arm64). */
function message(type: number, flags: number, header: Uint8Array, attributes: Uint8Array[]): Uint8Array {
  const body = concat([header, ...attributes])
  const bytes = new Uint8Array(16 + body.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, type, true)
  view.setUint16(6, NLM_F_REQUEST | flags, true)
  bytes.set(body, 16)
  return bytes
}

function attribute(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + data.length + 3) & ~3)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 4 + data.length, true)
  view.setUint16(2, type, true)
  bytes.set(data, 4)
  return bytes
}

function nested(type: number, attributes: Uint8Array[]): Uint8Array {
  return attribute(type | NLA_F_NESTED, concat(attributes))
}

function concat(parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** nftables' numbers are in network order. */
function u32(value: number): Uint8Array {
  return Uint8Array.of(value >> 24, value >> 16, value >> 8, value)
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value)
}

/** A C string, of ASCII. */
function text(value: string): Uint8Array {
  return Uint8Array.from(`${value}\0`, (each) => each.charCodeAt(0))
}
