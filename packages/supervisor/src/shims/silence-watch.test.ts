import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { SilenceWatch } from './silence-watch.ts'

beforeEach(() => vi.useFakeTimers())
afterEach(() => vi.useRealTimers())

const ended = vi.fn()

/** `answers`: whether the peer answers pings. */
function watch(answers: boolean): SilenceWatch {
  ended.mockClear()
  const socket = new EventEmitter() as EventEmitter & { ping(): void }
  socket.ping = () => void (answers && socket.emit('pong'))
  return new SilenceWatch(socket as unknown as ConstructorParameters<typeof SilenceWatch>[0], ended)
}

it('is over with a peer that owes an answer and is silent for twenty seconds, once', () => {
  const silent = watch(false)
  silent.begin()
  vi.advanceTimersByTime(20_000)
  expect(ended).not.toHaveBeenCalled()
  vi.advanceTimersByTime(60_000)
  expect(ended).toHaveBeenCalledTimes(1)
})

it('has patience with who answers pings, or anything else', () => {
  watch(true).begin()
  vi.advanceTimersByTime(600_000)
  const talking = watch(false)
  talking.begin()
  for (let minute = 0; minute < 60; minute++) {
    vi.advanceTimersByTime(15_000)
    talking.heard()
  }
  expect(ended).not.toHaveBeenCalled()
})

it('does not look at a peer that owes nothing', () => {
  const idle = watch(false)
  vi.advanceTimersByTime(600_000)
  idle.begin()
  vi.advanceTimersByTime(15_000)
  idle.end()
  vi.advanceTimersByTime(600_000)
  expect(ended).not.toHaveBeenCalled()
})
