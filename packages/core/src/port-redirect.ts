/**
 * A port of an address inside a network namespace that leads to another one, by nftables. Whoever asks at the one is
 * answered by who listens on the other, and nobody need listen on the first.
 *
 * ```
 * table ip NAME (owned by the socket that made it: it goes with that, and nobody else flushes it)
 *   questions  postrouting, last         ip daddr ADDRESS udp dport PORT     udp dport set TO      and for tcp
 *   answers    output, before conntrack  ip saddr ADDRESS udp sport TO       udp sport set PORT    and for tcp
 * ```
 *
 * Bytes are changed and no connection is tracked: a question costs no entry in a table that may be full, the kernel needs
 * no nat, and the namespace's own rules for what is sent, and its connection tracking, see the first port alone.
 *
 * The messages are those of linux/netfilter/nf_tables.h; `nft --debug=netlink` shows the same expressions.
 */
import { openNetfilterIn } from './netfilter.ts'
import {
  nestedAttribute as nested,
  netlinkAttribute as attribute,
  netlinkRequest,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from './netlink-message.ts'

const [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END] = [16, 17]
const NFNL_SUBSYS_NFTABLES = 10
const [NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE] = [0, 3, 6]
const NFPROTO_IPV4 = 2
const NFT_TABLE_F_OWNER = 2
const [NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING] = [3, 4]
const [NF_IP_PRI_RAW, NF_IP_PRI_CONNTRACK_HELPER] = [-300, 300]
const NFT_META_L4PROTO = 16
const [NETWORK_HEADER, TRANSPORT_HEADER] = [1, 2]
const NFT_PAYLOAD_CSUM_INET = 1
const NFT_CMP_EQ = 0
const NFT_REG_1 = 1

/** Attributes, by what they are of. */
const NFTA_TABLE = { NAME: 1, FLAGS: 2 }
const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, TYPE: 7 }
const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2 }
const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 }
const NFTA_LIST_ELEM = 1
const NFTA_EXPR = { NAME: 1, DATA: 2 }
const NFTA_DATA_VALUE = 1
const NFTA_META = { DREG: 1, KEY: 2 }
const NFTA_CMP = { SREG: 1, OP: 2, DATA: 3 }
const NFTA_IMMEDIATE = { DREG: 1, DATA: 2 }
const NFTA_PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4, SREG: 5, CSUM_TYPE: 6, CSUM_OFFSET: 7 }

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

/** A port that leads to another one of the same address. */
export interface PortRedirect {
  /** The table's name, which says whose it is to people who list the rules. */
  table: string
  /** IPv4, as text. */
  address: string
  /** What clients ask at. */
  port: number
  /** What is listened on. */
  to: number
}

/** It leads there as long as this is open, or a duplicate of its descriptor. */
export interface OpenPortRedirect {
  readonly fd: number
  close(): void
}

/**
 * Needs CAP_NET_ADMIN over the namespace (a descriptor), and Linux 5.12. Main thread only. A descriptor that an earlier
 * one had is taken over as it is. Throws SyscallError: EPERM where somebody else owns a table of this name, EEXIST where
 * one has no owner.
 */
export function openPortRedirectIn(
  netnsFd: number,
  redirect: PortRedirect | { fd: number },
): OpenPortRedirect {
  if ('fd' in redirect) return openNetfilterIn(netnsFd, redirect.fd)
  const netfilter = openNetfilterIn(netnsFd)
  try {
    netfilter.apply(portRedirectBatch(redirect))
    return netfilter
  } catch (error) {
    netfilter.close()
    throw error
  }
}

/** The messages that make it, as one transaction. */
export function portRedirectBatch({ table, address, port, to }: PortRedirect): Buffer {
  const bytes = Uint8Array.from(address.split('.'), Number)
  const question = { table, chain: 'questions', match: targetAddress, address: bytes }
  const answer = { table, chain: 'answers', match: sourceAddress, address: bytes }
  return Buffer.concat([
    netlinkRequest({ type: NFNL_MSG_BATCH_BEGIN }, [batchHeader]),
    change(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, [
      attribute(NFTA_TABLE.NAME, text(table)),
      attribute(NFTA_TABLE.FLAGS, u32(NFT_TABLE_F_OWNER)),
    ]),
    chain(table, 'questions', [NF_INET_POST_ROUTING, NF_IP_PRI_CONNTRACK_HELPER]),
    chain(table, 'answers', [NF_INET_LOCAL_OUT, NF_IP_PRI_RAW]),
    ...protocols.flatMap((protocol) => [
      rule({ ...question, field: targetPort, from: port, to, protocol }),
      rule({ ...answer, field: sourcePort, from: to, to: port, protocol }),
    ]),
    netlinkRequest({ type: NFNL_MSG_BATCH_END }, [batchHeader]),
  ])
}

function chain(table: string, name: string, [hook, priority]: [number, number]): Buffer {
  return change(NFT_MSG_NEWCHAIN, NLM_F_CREATE, [
    attribute(NFTA_CHAIN.TABLE, text(table)),
    attribute(NFTA_CHAIN.NAME, text(name)),
    nested(NFTA_CHAIN.HOOK, [
      attribute(NFTA_HOOK.HOOKNUM, u32(hook)),
      attribute(NFTA_HOOK.PRIORITY, u32(priority)),
    ]),
    attribute(NFTA_CHAIN.TYPE, text('filter')),
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

function rule({ table, chain: name, match, address, protocol, field, from, to }: Rewrite): Buffer {
  const expressions = [
    load(match, 4),
    equals(address),
    expression('meta', [
      attribute(NFTA_META.DREG, u32(NFT_REG_1)),
      attribute(NFTA_META.KEY, u32(NFT_META_L4PROTO)),
    ]),
    equals(Uint8Array.of(protocol.number)),
    load(field, 2),
    equals(u16(from)),
    expression('immediate', [
      attribute(NFTA_IMMEDIATE.DREG, u32(NFT_REG_1)),
      nested(NFTA_IMMEDIATE.DATA, [attribute(NFTA_DATA_VALUE, u16(to))]),
    ]),
    store(field, protocol.checksum),
  ]
  return change(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [
    attribute(NFTA_RULE.TABLE, text(table)),
    attribute(NFTA_RULE.CHAIN, text(name)),
    nested(NFTA_RULE.EXPRESSIONS, expressions),
  ])
}

function load([header, offset]: Field, length: number): Buffer {
  return expression('payload', [
    attribute(NFTA_PAYLOAD.DREG, u32(NFT_REG_1)),
    attribute(NFTA_PAYLOAD.BASE, u32(header)),
    attribute(NFTA_PAYLOAD.OFFSET, u32(offset)),
    attribute(NFTA_PAYLOAD.LEN, u32(length)),
  ])
}

function equals(value: Uint8Array): Buffer {
  return expression('cmp', [
    attribute(NFTA_CMP.SREG, u32(NFT_REG_1)),
    attribute(NFTA_CMP.OP, u32(NFT_CMP_EQ)),
    nested(NFTA_CMP.DATA, [attribute(NFTA_DATA_VALUE, value)]),
  ])
}

function store([header, offset]: Field, checksum: number): Buffer {
  return expression('payload', [
    attribute(NFTA_PAYLOAD.SREG, u32(NFT_REG_1)),
    attribute(NFTA_PAYLOAD.BASE, u32(header)),
    attribute(NFTA_PAYLOAD.OFFSET, u32(offset)),
    attribute(NFTA_PAYLOAD.LEN, u32(2)),
    attribute(NFTA_PAYLOAD.CSUM_TYPE, u32(NFT_PAYLOAD_CSUM_INET)),
    attribute(NFTA_PAYLOAD.CSUM_OFFSET, u32(checksum)),
  ])
}

function expression(name: string, data: Uint8Array[]): Buffer {
  return nested(NFTA_LIST_ELEM, [attribute(NFTA_EXPR.NAME, text(name)), nested(NFTA_EXPR.DATA, data)])
}

/** struct nfgenmsg: family, version, resource in network order. */
const batchHeader = Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES)

function change(type: number, flags: number, attributes: Uint8Array[]): Buffer {
  const header = Uint8Array.of(NFPROTO_IPV4, 0, 0, 0)
  return netlinkRequest({ type: (NFNL_SUBSYS_NFTABLES << 8) | type, flags: NLM_F_ACK | flags }, [
    header,
    ...attributes,
  ])
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
