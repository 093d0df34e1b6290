/**
 * nf_tables elements by netlink (linux/netfilter/nf_tables.h): what changes with each container. Rules and
 * chains are written by `nft`, in nft.ts.
 */
import { NLM_F_CREATE, NLM_F_EXCL, type Reply, type Request } from './netlink.ts'
import { attribute, attributeList, attributesOf, nested, text, textOf } from './netlink-attributes.ts'

const NFNL_MSG_BATCH_BEGIN = 16
const NFNL_MSG_BATCH_END = 17
export const NFNL_SUBSYS_NFTABLES = 10
const NFT_MSG_GETCHAIN = 4
const NFT_MSG_GETRULE = 7
const NFT_MSG_NEWSETELEM = 12
const NFT_MSG_GETSETELEM = 13
const NFT_MSG_DELSETELEM = 14

const nfproto = { inet: 1, bridge: 7 } as const

const NFTA_SET_ELEM_LIST_TABLE = 1
const NFTA_SET_ELEM_LIST_SET = 2
const NFTA_SET_ELEM_LIST_ELEMENTS = 3
const NFTA_LIST_ELEM = 1
const NFTA_SET_ELEM_KEY = 1
const NFTA_SET_ELEM_DATA = 2
const NFTA_SET_ELEM_FLAGS = 3
const NFTA_SET_ELEM_TIMEOUT = 4
const NFTA_SET_ELEM_EXPIRATION = 5
const NFTA_SET_ELEM_KEY_END = 10
const NFTA_DATA_VALUE = 1
const NFTA_CHAIN_TABLE = 1
const NFTA_CHAIN_NAME = 3
const NFTA_RULE_TABLE = 1
const NFTA_RULE_CHAIN = 2

export interface SetElement {
  /** Parts of the key, in the set's order; each is padded to four bytes, as nft does. */
  key: Buffer[]
  /** The last key of an interval, where the set is one of intervals in several fields. */
  end?: Buffer[]
  flags?: number
  /** What a map maps the key to. */
  data?: Buffer[]
  /** Milliseconds; absent: for ever. */
  timeout?: number
}

export interface ElementRequest {
  /** Of the table; default inet. */
  family?: keyof typeof nfproto
  table: string
  set: string
  elements: SetElement[]
}

export interface ElementChanges {
  remove?: ElementRequest[]
  add?: ElementRequest[]
  /** Default true: EEXIST where a key is there already. False: it stays as it is. */
  exclusive?: boolean
}

/**
 * One batch, which is a transaction: all of it or nothing. ENOENT where a key that is to be removed, the set or
 * the table is not there.
 */
export function changeElements({ remove = [], add = [], exclusive = true }: ElementChanges): Request[] {
  const flags = NLM_F_CREATE | (exclusive ? NLM_F_EXCL : 0)
  return [
    frame(NFNL_MSG_BATCH_BEGIN),
    ...merged(remove).map((request) => elementRequest('NFT_MSG_DELSETELEM', 0, request)),
    ...merged(add).map((request) => elementRequest('NFT_MSG_NEWSETELEM', flags, request)),
    frame(NFNL_MSG_BATCH_END),
  ]
}

/** EEXIST where a key is there already. */
export function addElements(add: ElementRequest[]): Request[] {
  return changeElements({ add })
}

/** ENOENT where one is not there. */
export function deleteElements(remove: ElementRequest[]): Request[] {
  return changeElements({ remove })
}

/**
 * An attribute holds 64 KiB, and the answers to one batch must fit into the socket's buffer: few and large
 * messages.
 */
const elementsPerMessage = 400

function merged(requests: ElementRequest[]): ElementRequest[] {
  const messages: ElementRequest[] = []
  const open = new Map<string, ElementRequest>()
  for (const { elements, ...place } of requests) {
    const key = `${place.family} ${place.table} ${place.set}`
    for (const element of elements) {
      let message = open.get(key)
      if (!message || message.elements.length === elementsPerMessage) {
        message = { ...place, elements: [] }
        open.set(key, message)
        messages.push(message)
      }
      message.elements.push(element)
    }
  }
  return messages
}

export type SetName = Omit<ElementRequest, 'elements'>

/** `tolerate`: ENOENT where the set may be missing. */
export function dumpElements(set: SetName, tolerate: string[] = []): Request {
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETSETELEM,
    what: `NFT_MSG_GETSETELEM ${set.table} ${set.set}`,
    tolerate,
    payload: [familyHeader(set), ...setName(set)],
  }
}

/** The element with this key, where there is one. */
export function getElement({ elements, ...set }: ElementRequest): Request {
  return {
    ...dumpElements(set, ['ENOENT']),
    payload: [familyHeader(set), ...setName(set), elementList(elements, false)],
  }
}

export interface FoundElement {
  /** Key, last key and data as one buffer each, their parts still padded. */
  key: Buffer
  end: Buffer | undefined
  data: Buffer | undefined
  flags: number
  /** Milliseconds until it goes; undefined: it stays. */
  remaining: number | undefined
}

/** The elements of a reply to a dump, or of a notification. */
export function parseElements({ data }: Pick<Reply, 'data'>): FoundElement[] {
  const list = attributesOf(data.subarray(4)).get(NFTA_SET_ELEM_LIST_ELEMENTS)
  if (!list) return []
  return attributeList(list).flatMap((element) => {
    const attributes = attributesOf(element)
    const value = (type: number) => {
      const attribute = attributes.get(type)
      return attribute && attributesOf(attribute).get(NFTA_DATA_VALUE)
    }
    const key = value(NFTA_SET_ELEM_KEY)
    if (!key) return []
    const flags = attributes.get(NFTA_SET_ELEM_FLAGS)?.readUInt32BE() ?? 0
    const remaining = attributes.get(NFTA_SET_ELEM_EXPIRATION)
    return [
      {
        key,
        end: value(NFTA_SET_ELEM_KEY_END),
        data: value(NFTA_SET_ELEM_DATA),
        flags,
        remaining: remaining && Number(remaining.readBigUInt64BE()),
      },
    ]
  })
}

/** One reply where there is such a chain, none where there isn't. */
export function getChain(table: string, chain: string): Request {
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN,
    what: `NFT_MSG_GETCHAIN ${table} ${chain}`,
    tolerate: ['ENOENT'],
    payload: [
      nfgenHeader(nfproto.inet),
      attribute(NFTA_CHAIN_TABLE, text(table)),
      attribute(NFTA_CHAIN_NAME, text(chain)),
    ],
  }
}

/** Every rule of a table; none where there is no such table. */
export function dumpRules({ table, family }: Pick<SetName, 'table' | 'family'>): Request {
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE,
    what: `NFT_MSG_GETRULE ${table}`,
    tolerate: ['ENOENT'],
    payload: [familyHeader({ family }), attribute(NFTA_RULE_TABLE, text(table))],
  }
}

/** The chain that a rule is in; undefined for one of another table, which kernels before 4.17 dump as well. */
export function chainOf({ data }: Reply, table: string): string | undefined {
  const attributes = attributesOf(data.subarray(4))
  return textOf(attributes.get(NFTA_RULE_TABLE)) === table
    ? textOf(attributes.get(NFTA_RULE_CHAIN))
    : undefined
}

function frame(type: number): Request {
  return { type, what: 'NFNL_MSG_BATCH', payload: [nfgenHeader(0, NFNL_SUBSYS_NFTABLES)], unanswered: true }
}

function elementRequest(
  name: 'NFT_MSG_NEWSETELEM' | 'NFT_MSG_DELSETELEM',
  flags: number,
  request: ElementRequest,
): Request {
  const adds = name === 'NFT_MSG_NEWSETELEM'
  const message = adds ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | message,
    flags,
    what: `${name} ${request.table} ${request.set}`,
    payload: [familyHeader(request), ...setName(request), elementList(request.elements, adds)],
  }
}

function elementList(elements: SetElement[], adds: boolean): Buffer {
  return nested(
    NFTA_SET_ELEM_LIST_ELEMENTS,
    elements.map((element) => nested(NFTA_LIST_ELEM, elementAttributes(element, adds))),
  )
}

function elementAttributes({ key, end, flags, data, timeout }: SetElement, adds: boolean): Buffer[] {
  const value = (type: number, parts: Buffer[]) =>
    nested(type, [attribute(NFTA_DATA_VALUE, concatenation(parts))])
  return [
    value(NFTA_SET_ELEM_KEY, key),
    ...(end ? [value(NFTA_SET_ELEM_KEY_END, end)] : []),
    ...(flags ? [attribute(NFTA_SET_ELEM_FLAGS, u32be(flags))] : []),
    ...(adds && data ? [value(NFTA_SET_ELEM_DATA, data)] : []),
    ...(adds && timeout !== undefined ? [attribute(NFTA_SET_ELEM_TIMEOUT, u64be(timeout))] : []),
  ]
}

function setName({ table, set }: SetName): Buffer[] {
  return [attribute(NFTA_SET_ELEM_LIST_TABLE, text(table)), attribute(NFTA_SET_ELEM_LIST_SET, text(set))]
}

/** The parts of a key or of data as they are in the kernel: each begins a register of four bytes. */
export function concatenation(parts: Buffer[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => [part, Buffer.alloc(-part.length & 3)]))
}

function familyHeader({ family = 'inet' }: { family?: keyof typeof nfproto | undefined }): Buffer {
  return nfgenHeader(nfproto[family])
}

/** struct nfgenmsg: family, version 0, resource id in network order. */
export function nfgenHeader(family: number, resource = 0): Buffer {
  return Buffer.of(family, 0, resource >> 8, resource & 0xff)
}

/** The name of a link as a key: IFNAMSIZ bytes. */
export function interfaceName(name: string): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.write(name)
  return bytes
}

export function portBytes(port: number): Buffer {
  return Buffer.of(port >> 8, port & 0xff)
}

function u32be(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function u64be(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(BigInt(Math.round(value)))
  return bytes
}
