import { expect, it } from 'vitest'
import { Forwarding, UpstreamOrder } from './forward.ts'
import { bytes } from './message.test-support.ts'

const good = bytes('0001 8180 0000 0000 0000 0000')
const nobody = bytes('0001 8183 0000 0000 0000 0000')
const truncated = bytes('0001 8380 0000 0000 0000 0000')
const broken = bytes('0001 8182 0000 0000 0000 0000')
const refused = bytes('0001 8185 0000 0000 0000 0000')

const make = (count: number, transport: 'udp' | 'tcp' = 'udp', rounds = 2) =>
  new Forwarding({ order: [...Array(count).keys()], transport, timeoutMs: 1500, rounds })
const ask = (upstream: number, transport = 'udp') => ({ do: 'ask', upstream, transport, timeoutMs: 1500 })

it('replies with the first answer, that there is no such name included', () => {
  for (const message of [good, nobody]) {
    const forwarding = make(2)
    expect(forwarding.begin()).toEqual(ask(0))
    expect(forwarding.answered(0, 'udp', message)).toEqual({ do: 'reply', message })
    expect(forwarding.answered(0, 'udp', message)).toBeUndefined()
  }
})

it('asks the next one when the first takes too long, and still takes the late answer', () => {
  const forwarding = make(2)
  forwarding.begin()
  expect(forwarding.timedOut()).toEqual(ask(1))
  expect(forwarding.answered(0, 'udp', good)).toEqual({ do: 'reply', message: good })
  expect(forwarding.timedOut()).toBeUndefined()
})

it('asks each as often as there are rounds, and fails then', () => {
  const forwarding = make(2)
  expect([
    forwarding.begin(),
    forwarding.timedOut(),
    forwarding.timedOut(),
    forwarding.timedOut(),
    forwarding.timedOut(),
  ]).toEqual([ask(0), ask(1), ask(0), ask(1), { do: 'fail' }])
})

it('goes on at once where nobody is there, and never asks that one again', () => {
  const forwarding = make(2)
  forwarding.begin()
  expect(forwarding.failed(0, 'udp')).toEqual(ask(1))
  expect(forwarding.failed(0, 'udp')).toBeUndefined()
  expect(forwarding.timedOut()).toEqual(ask(1))
  expect(forwarding.failed(1, 'udp')).toBeUndefined() // the other question to it is still open
  expect(forwarding.timedOut()).toEqual({ do: 'fail' })
})

it('fails at once where none is there', () => {
  const forwarding = make(1)
  forwarding.begin()
  expect(forwarding.failed(0, 'udp')).toEqual({ do: 'fail' })
  expect(make(0).begin()).toEqual({ do: 'fail' })
})

it('takes a refusal for an answer only where nobody has a better one', () => {
  const forwarding = make(3)
  forwarding.begin()
  expect(forwarding.answered(0, 'udp', broken)).toEqual(ask(1))
  expect(forwarding.answered(1, 'udp', refused)).toEqual(ask(2))
  expect(forwarding.answered(2, 'udp', refused)).toEqual({ do: 'reply', message: broken })
})

it('waits for one that was asked before, when a later one refuses', () => {
  const forwarding = make(2, 'udp', 1)
  forwarding.begin()
  expect(forwarding.timedOut()).toEqual(ask(1))
  expect(forwarding.answered(1, 'udp', broken)).toBeUndefined()
  expect(forwarding.answered(0, 'udp', good)).toEqual({ do: 'reply', message: good })
})

it('asks again by tcp when the answer was cut off, once, and gives what was cut off where that fails', () => {
  const forwarding = make(2)
  forwarding.begin()
  expect(forwarding.answered(0, 'udp', truncated)).toEqual(ask(0, 'tcp'))
  expect(forwarding.answered(0, 'udp', truncated)).toBeUndefined()
  expect(forwarding.answered(0, 'tcp', good)).toEqual({ do: 'reply', message: good })
  const without = make(2)
  without.begin()
  without.answered(0, 'udp', truncated)
  expect(without.failed(0, 'tcp')).toEqual({ do: 'reply', message: truncated })
})

it('asks by tcp for who came by tcp', () => {
  expect(make(1, 'tcp').begin()).toEqual(ask(0, 'tcp'))
})

it('asks those last for half a minute that did not answer', () => {
  const order = new UpstreamOrder(3)
  order.failed(0, 1000)
  expect(order.order(1001)).toEqual([1, 2, 0])
  order.failed(1, 2000)
  expect(order.order(2001)).toEqual([2, 0, 1])
  expect(order.order(31_500)).toEqual([0, 2, 1])
  order.answered(1)
  expect(order.order(31_500)).toEqual([0, 1, 2])
})
