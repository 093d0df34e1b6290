import { describe, expect, it } from 'vitest'
import { EventBus } from './event-bus.ts'
import { nowNanoseconds } from '../time.ts'

const all = { matches: () => true }

describe('events', () => {
  it('come from the past first, then live, until the listener goes', async () => {
    const bus = new EventBus()
    const before = nowNanoseconds()
    bus.publish('container', 'create', 'a', {})
    const abort = new AbortController()
    const seen: string[] = []
    const listening = (async () => {
      for await (const { Action } of bus.subscribe({ ...all, since: before }, abort.signal)) {
        seen.push(Action)
        if (Action === 'start') abort.abort()
      }
    })()
    bus.publish('container', 'start', 'a', {})
    await listening
    expect(seen).toEqual(['create', 'start'])
  })

  it('end at once when `until` has passed, with what there was', async () => {
    const bus = new EventBus()
    bus.publish('image', 'import', 'x', { name: 'y' })
    const seen = []
    for await (const event of bus.subscribe(
      { ...all, since: 0n, until: nowNanoseconds() },
      new AbortController().signal,
    ))
      seen.push(event)
    expect(seen).toMatchObject([
      { Type: 'image', Actor: { ID: 'x', Attributes: { name: 'y' } }, scope: 'local' },
    ])
  })

  it('keep to the filter, and rise in time', async () => {
    const bus = new EventBus()
    for (let index = 0; index < 100; index++)
      bus.publish('container', index % 2 ? 'odd' : 'even', String(index), {})
    const times: bigint[] = []
    const filter = {
      since: 0n,
      until: nowNanoseconds(),
      matches: ({ Action }: { Action: string }) => Action === 'odd',
    }
    for await (const { timeNano } of bus.subscribe(filter, new AbortController().signal)) times.push(timeNano)
    expect(times).toHaveLength(50)
    expect(times.every((time, index) => index === 0 || time > times[index - 1]!)).toBe(true)
  })
})
