/**
 * nf_tables elements and conntrack entries by netlink (linux/netfilter/nf_tables.h, nfnetlink_conntrack.h):
 * what changes with each container. Rules and chains are written by `nft`, in nft.ts.
 */
import { NLM_F_CREATE, NLM_F_EXCL, type Reply, type Request } from './netlink.ts'
import { attribute, attributeList, attributesOf, nested, text } from './netlink-attributes.ts'

const NFNL_MSG_BATCH_BEGIN = 16
const NFNL_MSG_BATCH_END = 17
const NFNL_SUBSYS_CTNETLINK = 1
const NFNL_SUBSYS_NFTABLES = 10
const NFT_MSG_NEWSETELEM = 12
const NFT_MSG_GETSETELEM = 13
const NFT_MSG_DELSETELEM = 14
const IPCTNL_MSG_CT_GET = 1
const IPCTNL_MSG_CT_DELETE = 2
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_ID = 12
const CTA_FILTER = 25

const NFPROTO_INET = 1
const AF_INET = 2
const AF_INET6 = 10

const NFTA_SET_ELEM_LIST_TABLE = 1
const NFTA_SET_ELEM_LIST_SET = 2
const NFTA_SET_ELEM_LIST_ELEMENTS = 3
const NFTA_LIST_ELEM = 1
const NFTA_SET_ELEM_KEY = 1
const NFTA_SET_ELEM_DATA = 2
const NFTA_DATA_VALUE = 1

export interface MapElement {
  /** Parts of the key, in the set's order; each is padded to four bytes, as nft does. */
  key: Buffer[]
  data: Buffer[]
}

export interface ElementRequest {
  table: string
  set: string
  elements: MapElement[]
}

/** A batch is a transaction: all of it or nothing. EEXIST where a key is there already. */
export function addElements(requests: ElementRequest[]): Request[] {
  return batch(
    merged(requests).map((request) => elementRequest(NFT_MSG_NEWSETELEM, 'NFT_MSG_NEWSETELEM', request)),
  )
}

/** ENOENT where a key, the set or the table is gone already. */
export function deleteElements(requests: ElementRequest[]): Request[] {
  return batch(
    merged(requests).map((request) => elementRequest(NFT_MSG_DELSETELEM, 'NFT_MSG_DELSETELEM', request)),
  )
}

/**
 * An attribute holds 64 KiB, and the answers to one batch must fit into the socket's buffer: few and large
 * messages.
 */
const elementsPerMessage = 400

function merged(requests: ElementRequest[]): ElementRequest[] {
  const messages: ElementRequest[] = []
  const open = new Map<string, ElementRequest>()
  for (const { table, set, elements } of requests) {
    for (const element of elements) {
      let message = open.get(set)
      if (!message || message.elements.length === elementsPerMessage) {
        message = { table, set, elements: [] }
        open.set(set, message)
        messages.push(message)
      }
      message.elements.push(element)
    }
  }
  return messages
}

export function dumpElements(table: string, set: string): Request {
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETSETELEM,
    what: `NFT_MSG_GETSETELEM ${table} ${set}`,
    payload: [header(NFPROTO_INET), ...setName(table, set)],
  }
}

/** Key and data as one buffer each, their parts still padded. */
export function parseElements({ data }: Reply): { key: Buffer; data: Buffer }[] {
  const list = attributesOf(data.subarray(4)).get(NFTA_SET_ELEM_LIST_ELEMENTS)
  if (!list) return []
  return attributeList(list).flatMap((element) => {
    const attributes = attributesOf(element)
    const key = attributes.get(NFTA_SET_ELEM_KEY)
    const value = attributes.get(NFTA_SET_ELEM_DATA)
    const keyBytes = key && attributesOf(key).get(NFTA_DATA_VALUE)
    const valueBytes = value && attributesOf(value).get(NFTA_DATA_VALUE)
    return keyBytes && valueBytes ? [{ key: keyBytes, data: valueBytes }] : []
  })
}

function batch(requests: Request[]): Request[] {
  return [frame(NFNL_MSG_BATCH_BEGIN), ...requests, frame(NFNL_MSG_BATCH_END)]
}

function frame(type: number): Request {
  return { type, what: 'NFNL_MSG_BATCH', payload: [header(0, NFNL_SUBSYS_NFTABLES)], unanswered: true }
}

function elementRequest(message: number, name: string, { table, set, elements }: ElementRequest): Request {
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | message,
    ...(message === NFT_MSG_NEWSETELEM && { flags: NLM_F_CREATE | NLM_F_EXCL }),
    what: `${name} ${table} ${set}`,
    payload: [
      header(NFPROTO_INET),
      ...setName(table, set),
      nested(
        NFTA_SET_ELEM_LIST_ELEMENTS,
        elements.map(({ key, data }) =>
          nested(NFTA_LIST_ELEM, [
            nested(NFTA_SET_ELEM_KEY, [attribute(NFTA_DATA_VALUE, concatenation(key))]),
            ...(message === NFT_MSG_NEWSETELEM
              ? [nested(NFTA_SET_ELEM_DATA, [attribute(NFTA_DATA_VALUE, concatenation(data))])]
              : []),
          ]),
        ),
      ),
    ],
  }
}

function setName(table: string, set: string): Buffer[] {
  return [attribute(NFTA_SET_ELEM_LIST_TABLE, text(table)), attribute(NFTA_SET_ELEM_LIST_SET, text(set))]
}

function concatenation(parts: Buffer[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => [part, Buffer.alloc(-part.length & 3)]))
}

/** struct nfgenmsg: family, version 0, resource id in network order. */
function header(family: number, resource = 0): Buffer {
  return Buffer.of(family, 0, resource >> 8, resource & 0xff)
}

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
      header(family),
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

/** Deletes one entry of a dump, by the tuple of its original direction and its id. */
export function deleteConntrack({ data }: Reply): Request {
  const attributes = attributesOf(data.subarray(4))
  const id = attributes.get(CTA_ID)
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE,
    what: 'IPCTNL_MSG_CT_DELETE',
    tolerate: ['ENOENT'], // it timed out meanwhile
    payload: [
      header(data.readUInt8(0)),
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

export function portBytes(port: number): Buffer {
  return Buffer.of(port >> 8, port & 0xff)
}

function flagBytes(flags: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(flags)
  return bytes
}
