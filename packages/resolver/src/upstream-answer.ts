/** What another server answered: whether it is an answer to our question, what addresses it has, and how to cut it. */
import { addressText } from './address.ts'
import type { Query } from './query.ts'
import {
  classes,
  flags,
  headerSize,
  read16,
  readName,
  readRecord,
  recordTypes,
  write16,
  type RecordPlace,
} from './wire.ts'

/** Of the same question, by any use of upper and lower case; the caller has matched the id. */
export function answersQuestion(message: Uint8Array, query: Query): boolean {
  if (message.length < headerSize || (read16(message, 2) & flags.reply) === 0) return false
  // A server that could not read the question may leave it out.
  if (read16(message, 4) === 0) return responseCode(message) !== 0
  if (read16(message, 4) !== 1) return false
  const found = readName(message, headerSize)
  if (!found || found.name !== query.name || found.end + 4 > message.length) return false
  return read16(message, found.end) === query.type && read16(message, found.end + 2) === query.class
}

export function responseCode(message: Uint8Array): number {
  return read16(message, 2) & flags.responseCode
}

export function isTruncated(message: Uint8Array): boolean {
  return (read16(message, 2) & flags.truncated) !== 0
}

/** What an upstream server answered for a name. */
export interface LearnedAddresses {
  /** The name that was asked for, in lower case. */
  name: string
  addresses: string[]
  /** How long they may be kept: the least time to live on the way to them, in seconds. */
  ttl: number
}

/** The addresses of the asked name, by way of its aliases (CNAME); undefined where there are none. */
export function learnedAddresses(message: Uint8Array, query: Query): LearnedAddresses | undefined {
  if (query.type !== recordTypes.A && query.type !== recordTypes.AAAA) return undefined
  const size = query.type === recordTypes.A ? 4 : 16
  const addresses: string[] = []
  let ttl = 0x7fff_ffff
  const names = new Set([query.name])
  let at = endOfQuestion(message)
  for (let count = read16(message, 6); count > 0; count--) {
    const record = at < 0 ? undefined : readRecord(message, at)
    const owner = record && readName(message, record.start)
    if (!record || !owner) break
    at = record.end
    // Servers put an alias before what it leads to; what belongs to another name is none of our business.
    if (record.class !== classes.IN || !names.has(owner.name)) continue
    const alias = record.type === recordTypes.CNAME ? readName(message, record.dataStart) : undefined
    if (alias) names.add(alias.name)
    else if (record.type === query.type && record.end - record.dataStart === size)
      addresses.push(addressText(message.subarray(record.dataStart, record.end)))
    else continue
    ttl = Math.min(ttl, record.ttl)
  }
  return addresses.length === 0 ? undefined : { name: query.name, addresses, ttl }
}

/**
 * The message in at most `limit` bytes: whole records are left out from the end, and TC is set. Some clients never
 * come again by tcp, and use what they get. EDNS's own record stays.
 */
export function cutAnswer(message: Uint8Array, limit: number): Uint8Array {
  if (message.length <= limit) return message
  const places = recordPlaces(message)
  const opt = places?.find(({ type }) => type === recordTypes.OPT)
  const optSize = opt ? opt.end - opt.start : 0
  const start = endOfQuestion(message)
  if (!places || start < 0 || start + optSize > limit) return bareHeader(message)
  const answers = places.slice(0, read16(message, 6)).filter(({ end }) => end + optSize <= limit)
  const end = answers.at(-1)?.end ?? start
  const cut = new Uint8Array(end + optSize)
  cut.set(message.subarray(0, end))
  if (opt) cut.set(message.subarray(opt.start, opt.end), end)
  write16(cut, 2, read16(message, 2) | flags.truncated)
  write16(cut, 6, answers.length)
  write16(cut, 8, 0)
  write16(cut, 10, opt ? 1 : 0)
  return cut
}

function bareHeader(message: Uint8Array): Uint8Array {
  const header = new Uint8Array(headerSize)
  header.set(message.subarray(0, 2))
  write16(header, 2, read16(message, 2) | flags.truncated)
  return header
}

function recordPlaces(message: Uint8Array): RecordPlace[] | undefined {
  const places: RecordPlace[] = []
  let at = endOfQuestion(message)
  for (let count = read16(message, 6) + read16(message, 8) + read16(message, 10); count > 0; count--) {
    const record = at < 0 ? undefined : readRecord(message, at)
    if (!record) return undefined
    places.push(record)
    at = record.end
  }
  return places
}

function endOfQuestion(message: Uint8Array): number {
  if (read16(message, 4) !== 1) return read16(message, 4) === 0 ? headerSize : -1
  const found = readName(message, headerSize)
  return found ? found.end + 4 : -1
}
