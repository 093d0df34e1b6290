/** What the table says to a question, or that others are to be asked. */
import type { Known, NameIndex } from './name-index.ts'
import { isInternet, type Query } from './query.ts'
import { buildReply, type AnswerRecord } from './reply.ts'
import { recordTypes, responseCodes } from './wire.ts'

/**
 * The answer, of at most `limit` bytes; undefined where others are to be asked. A name of the table is never asked of
 * others, whatever record is wanted: that it has none of that type is the answer. Several addresses come in another order
 * each time, so that clients which take the first are spread over them.
 */
export function answerQuery(index: NameIndex, query: Query, limit: number): Uint8Array | undefined {
  if (query.edns && query.edns.version !== 0)
    return buildReply(query, { code: responseCodes.badVersion, authoritative: false, limit })
  if (!isInternet(query)) return undefined
  const found = index.lookup(query.name)
  if (!found) return undefined
  const { ttl } = index
  const labels = query.name.split('.').length
  if (!('v4' in found)) {
    const code = found.exists ? responseCodes.noError : responseCodes.nameError
    const nothing = { ttl, skipLabels: labels - found.zone }
    return buildReply(query, { code, authoritative: true, nothing, limit })
  }
  const answers = recordsOf(found, query.type, ttl)
  return buildReply(query, {
    code: responseCodes.noError,
    authoritative: true,
    answers,
    ...(answers.length === 0 && { nothing: { ttl, skipLabels: 0 } }),
    limit,
  })
}

/** An answer that says that nobody could be asked. */
export function failureReply(query: Query, limit: number): Uint8Array {
  return buildReply(query, { code: responseCodes.serverFailure, authoritative: false, limit })
}

function recordsOf(known: Known, type: number, ttl: number): AnswerRecord[] {
  const wants = (record: number) => type === record || type === recordTypes.ANY
  const of = (record: number, family: 'v4' | 'v6') =>
    wants(record) ? inTurn(known, family).map((data) => ({ type: record, ttl, data })) : []
  return [
    ...of(recordTypes.A, 'v4'),
    ...of(recordTypes.AAAA, 'v6'),
    ...(wants(recordTypes.PTR) && known.pointer ? [{ type: recordTypes.PTR, ttl, data: known.pointer }] : []),
  ]
}

/** Counted for each family: a client asks for both, one after the other. */
function inTurn(known: Known, family: 'v4' | 'v6'): Uint8Array[] {
  const all = known[family]
  if (all.length < 2) return all
  const first = known.turns[family]++ % all.length
  return [...all.slice(first), ...all.slice(0, first)]
}
