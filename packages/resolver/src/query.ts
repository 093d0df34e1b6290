/** What a client asks. */
import {
  classes,
  flags,
  headerSize,
  read16,
  readName,
  readRecord,
  recordTypes,
  responseCodes,
  write16,
} from './wire.ts'

/** A question, taken apart. */
export interface Query {
  /** As it came: a view of the caller's buffer. */
  message: Uint8Array
  name: string
  type: number
  class: number
  /** Where the question ends: all before it is echoed in an answer, with the client's own upper and lower case. */
  questionEnd: number
  /** RFC 6891; absent where the client knows nothing of it. */
  edns: { payloadSize: number; version: number; dnssecOk: boolean } | undefined
}

/** The smallest message that may be cut off over udp. */
const minPayload = 512

/** How long an answer over udp may be. */
export function payloadLimit({ edns }: Query): number {
  return Math.max(minPayload, edns?.payloadSize ?? 0)
}

/**
 * Reads a query. Otherwise the answer that refuses it; `ignore` for what must not be answered at all: what is no DNS
 * message, and answers (two servers could go on answering each other's).
 */
export function readQuery(message: Uint8Array): Query | { refusal: Uint8Array } | 'ignore' {
  if (message.length < headerSize) return 'ignore'
  const word = read16(message, 2)
  if ((word & flags.reply) !== 0) return 'ignore'
  if ((word & flags.opcode) !== 0) return { refusal: refuse(message, responseCodes.notImplemented) }
  const question = read16(message, 4) === 1 ? readQuestion(message) : undefined
  const rest = question && readRest(message, question.questionEnd)
  if (!question || !rest) return { refusal: refuse(message, responseCodes.formatError) }
  return { message, ...question, edns: rest.edns }
}

/** A header and nothing else: the question may be what is wrong. */
function refuse(message: Uint8Array, code: number): Uint8Array {
  const reply = new Uint8Array(headerSize)
  reply.set(message.subarray(0, 2))
  const kept = read16(message, 2) & (flags.opcode | flags.recursionDesired)
  write16(reply, 2, flags.reply | flags.recursionAvailable | kept | code)
  return reply
}

function readQuestion(
  message: Uint8Array,
): Pick<Query, 'name' | 'type' | 'class' | 'questionEnd'> | undefined {
  const found = readName(message, headerSize)
  if (!found || found.end + 4 > message.length) return undefined
  const { name, end } = found
  return { name, type: read16(message, end), class: read16(message, end + 2), questionEnd: end + 4 }
}

/** What follows the question: whole records to the message's end, and at most one OPT, among the additional ones. */
function readRest(message: Uint8Array, start: number): Pick<Query, 'edns'> | undefined {
  const before = read16(message, 6) + read16(message, 8)
  const count = before + read16(message, 10)
  let edns: Query['edns']
  let at = start
  for (let index = 0; index < count; index++) {
    const record = readRecord(message, at)
    if (!record) return undefined
    at = record.end
    if (record.type !== recordTypes.OPT) continue
    if (edns || index < before || message[record.start] !== 0) return undefined
    edns = {
      payloadSize: record.class,
      version: (record.ttl >>> 16) & 0xff,
      dnssecOk: (record.ttl & 0x8000) !== 0,
    }
  }
  return at === message.length ? { edns } : undefined
}

/** Whether a table of addresses can have anything to say of it. */
export function isInternet(query: Query): boolean {
  return query.class === classes.IN || query.class === classes.ANY
}
