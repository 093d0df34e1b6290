import { HoldfastError } from '@holdfast/errors'
import { parseTimestamp } from '../go-time.ts'
import { flag } from '../query.ts'
import type { Call, Route } from '../route.ts'
import { drained } from '../session-pump.ts'
import { streamType } from '../stream-frame.ts'

export const logRoutes: Route[] = [{ method: 'GET', path: '/containers/{id}/logs', handle: logs }]

/** Bytes that may wait for a slow client, beyond the block in hand. */
const queueLimit = 1024 * 1024

async function logs(call: Call): Promise<void> {
  const [stdout, stderr] = [flag(call.query, 'stdout'), flag(call.query, 'stderr')]
  if (!stdout && !stderr) {
    throw new HoldfastError('HF_BAD_REQUEST', 'Bad parameters: you must choose at least one stream')
  }
  const since = parseTimestamp('since', call.query.get('since'))
  const until = parseTimestamp('until', call.query.get('until'))
  const record = call.engine.get(call.params['id'] ?? '')
  const log = await call.engine.logs(record.id, {
    stdout,
    stderr,
    follow: flag(call.query, 'follow'),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
    tail: tail(call.query.get('tail')),
    signal: call.gone,
  })
  const { Tty: tty } = record.config
  const frames = log
    .frames({
      timestamps: flag(call.query, 'timestamps'),
      details: flag(call.query, 'details'),
      multiplexed: !tty,
    })
    [Symbol.asyncIterator]()
  // The first one says that it can be read at all: a failure has a status of its own until the answer has begun.
  let next = await frames.next()
  try {
    const out = call.begin(200, streamType(call.api, tty))
    for (; !next.done; next = await frames.next()) {
      if (call.gone.aborted) return
      out.write(next.value)
      // The next block is read and decoded while this one is on its way.
      if (out.writableLength > queueLimit) await drained(out)
    }
    out.end()
  } finally {
    await frames.return?.()
  }
}

/** As dockerd has it, anything that is no count means all. */
function tail(value: string | null): number {
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : -1
}
