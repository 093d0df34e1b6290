/** `events`: usage of the container's cgroup, once or again and again, and a line when the kernel killed for memory. */
import { HoldfastError } from '@holdfast/errors'
import type { Call } from '../front-end/call.ts'
import { onlyId, parseOptions, usage } from '../front-end/options.ts'
import { oomKillsOf, readStats } from './stats.ts'
import * as store from '../store.ts'

export async function events(call: Call): Promise<void> {
  const { request } = call
  const options = parseOptions(request.args, { switches: ['stats'], values: ['interval'] })
  const id = onlyId('events', options)
  const interval = durationMs(options.value['interval'] ?? '5s')
  if (interval <= 0) throw usage('duration interval must be greater than 0')
  const record = store.load(request.root, id)
  if (store.statusOf(request.root, record) === 'stopped')
    throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', `container with id ${id} is not running`)
  const line = (type: string, data?: object): string =>
    `${JSON.stringify({ type, id, ...(data && { data }) })}\n`
  if (options.on.has('stats')) return call.print(line('stats', readStats(record)))
  await follow(call, record, { interval, line })
}

interface Follow {
  interval: number
  line: (type: string, data?: object) => string
}

/** Until the container stops, or the front end goes. */
async function follow(call: Call, record: store.ContainerRecord, { interval, line }: Follow): Promise<void> {
  const { setTimeout: delay } = await import('node:timers/promises')
  const { request, connection } = call
  const stop = new AbortController()
  void connection.gone().then(() => stop.abort())
  const say = (text: string): boolean => connection.sendTexts('t', Buffer.alloc(0), [text])
  let kills = oomKillsOf(record)
  let elapsed = 0
  const step = Math.min(interval, oomPollMs)
  while (!stop.signal.aborted && store.statusOf(request.root, record) !== 'stopped') {
    await delay(step, undefined, { signal: stop.signal }).catch(() => {})
    const now = oomKillsOf(record)
    if (now > kills && !say(line('oom'))) return
    kills = now
    elapsed += step
    if (elapsed < interval || stop.signal.aborted) continue
    elapsed = 0
    if (store.statusOf(request.root, record) !== 'stopped' && !say(line('stats', readStats(record)))) return
  }
}

const oomPollMs = 500

/** Go's durations: `5s`, `500ms`, `1m30s`. */
export function durationMs(text: string): number {
  const units: Record<string, number> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw usage(`invalid duration ${JSON.stringify(text)}`)
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit!]!, 0)
}
