/** Answers of our own: the question as it came, records, and what EDNS asks for. */
import type { Query } from './query.ts'
import { classes, encodeName, flags, headerSize, read16, recordTypes, write16, write32 } from './wire.ts'

export interface AnswerRecord {
  type: number
  /** Seconds. */
  ttl: number
  data: Uint8Array
}

export interface Reply {
  code: number
  authoritative: boolean
  answers?: AnswerRecord[]
  /**
   * For an answer that there is nothing (RFC 2308): how long that may be believed, in seconds, and the zone that it is
   * said of: so many labels of the question's name are left out.
   */
  nothing?: { ttl: number; skipLabels: number }
  /** The answer's longest size in bytes. */
  limit: number
}

/** What we take over udp. Nothing is fragmented on the way: both ends are in one namespace. */
const ourPayload = 4096
const optSize = 11
/** Name (a pointer), type, class, time to live, length. */
const recordHead = 12

/** Records that don't fit are left out, and the answer says that it was cut off (TC). */
export function buildReply(query: Query, reply: Reply): Uint8Array {
  const { code, answers = [], limit } = reply
  const soa = reply.nothing && startOfAuthority(reply.nothing.ttl)
  const room = limit - query.questionEnd - (query.edns ? optSize : 0) - (soa ? recordHead + soa.length : 0)
  const { count, size } = fitting(answers, room)
  const end = query.questionEnd + size + (soa ? recordHead + soa.length : 0)
  const message = new Uint8Array(end + (query.edns ? optSize : 0))
  message.set(query.message.subarray(0, query.questionEnd))
  const asked = read16(query.message, 2) & (flags.recursionDesired | flags.checkingDisabled)
  write16(
    message,
    2,
    flags.reply |
      flags.recursionAvailable |
      asked |
      (reply.authoritative ? flags.authoritative : 0) |
      (count < answers.length ? flags.truncated : 0) |
      (code & flags.responseCode),
  )
  write16(message, 6, count)
  write16(message, 8, soa ? 1 : 0)
  write16(message, 10, query.edns ? 1 : 0)
  let at = query.questionEnd
  for (const record of answers.slice(0, count)) at = writeRecord(message, at, record, headerSize)
  if (soa) {
    const owner = zoneOffset(query.message, reply.nothing!.skipLabels)
    at = writeRecord(message, at, { type: recordTypes.SOA, ttl: reply.nothing!.ttl, data: soa }, owner)
  }
  if (query.edns) writeOpt(message, at, code, query.edns.dnssecOk)
  return message
}

/** How many of the first records fit into `room` bytes, and their size. */
function fitting(records: AnswerRecord[], room: number): { count: number; size: number } {
  let size = 0
  let count = 0
  for (const { data } of records) {
    if (size + recordHead + data.length > room) break
    size += recordHead + data.length
    count++
  }
  return { count, size }
}

function writeRecord(message: Uint8Array, at: number, record: AnswerRecord, owner: number): number {
  write16(message, at, 0xc000 | owner)
  write16(message, at + 2, record.type)
  write16(message, at + 4, classes.IN)
  write32(message, at + 6, record.ttl)
  write16(message, at + 10, record.data.length)
  message.set(record.data, at + recordHead)
  return at + recordHead + record.data.length
}

function writeOpt(message: Uint8Array, at: number, code: number, dnssecOk: boolean): void {
  write16(message, at + 1, recordTypes.OPT)
  write16(message, at + 3, ourPayload)
  message[at + 5] = code >> 4
  message[at + 7] = dnssecOk ? 0x80 : 0
}

/** Where the question's name goes on after `skip` labels: the zone that an SOA record is of. */
function zoneOffset(message: Uint8Array, skip: number): number {
  let at = headerSize
  for (let count = 0; count < skip && message[at] !== 0; count++) at += message[at]! + 1
  return at
}

const server = encodeName('ns.holdfast.internal')!
const mailbox = encodeName('hostmaster.holdfast.internal')!

/** RFC 2308, section 5: its last number is how long nothing may be believed. */
function startOfAuthority(ttl: number): Uint8Array {
  const data = new Uint8Array(server.length + mailbox.length + 20)
  data.set(server)
  data.set(mailbox, server.length)
  const numbers = server.length + mailbox.length
  for (const [index, value] of [1, 3600, 600, 86_400, ttl].entries())
    write32(data, numbers + index * 4, value)
  return data
}
