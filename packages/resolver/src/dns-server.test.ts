import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { DnsServer, type DnsServerOptions } from './dns-server.ts'
import { a, answer, question } from './message.test-support.ts'
import type { Descriptor, DnsSockets } from './sockets.ts'

/** Sockets without a network: what is sent is kept, what comes is said by the test. */
class Wire implements DnsSockets {
  ask: (message: Uint8Array, peer: Uint8Array) => void = () => {}
  readonly sent: Uint8Array[] = []
  readonly upstream: { question: Uint8Array; answer: (message: Uint8Array) => void; isOpen: boolean }[] = []

  readonly openDatagrams: DnsSockets['openDatagrams'] = (options, { onMessage }) => {
    if ('bind' in options) {
      this.ask = onMessage
      return { send: (message) => this.sent.push(message) > 0, close: () => {} }
    }
    const channel = { question: new Uint8Array(0), answer: onMessage0, isOpen: true }
    function onMessage0(message: Uint8Array): void {
      onMessage(message, new Uint8Array(0))
    }
    this.upstream.push(channel)
    return {
      send: (message) => ((channel.question = message.slice()), true),
      close: () => (channel.isOpen = false),
    }
  }
  readonly listenIn: DnsSockets['listenIn'] = () => ({ on: () => {}, close: () => {} })
  readonly connectIn: DnsSockets['connectIn'] = () => {
    throw new Error('no tcp here')
  }
}

/** With nftables, whose table is kept, or which refuses. */
class WireWithRules extends Wire {
  readonly bound: number[] = []
  readonly redirects: object[] = []
  readonly #refusal: string | undefined

  constructor(refusal?: string) {
    super()
    this.#refusal = refusal
  }

  override readonly openDatagrams: DnsSockets['openDatagrams'] = (options) => {
    if ('bind' in options) this.bound.push(options.bind!.port)
    if (this.bound.length === 1 && !this.#refusal) throw Object.assign(new Error(), { code: 'EADDRINUSE' })
    return { send: () => true, close: () => {} }
  }
  readonly openPortRedirectIn: NonNullable<DnsSockets['openPortRedirectIn']> = (_netns, redirect) => {
    if (this.#refusal) throw Object.assign(new Error(), { code: this.#refusal })
    this.redirects.push(redirect)
    return { close: () => {} }
  }
}

const peer = Uint8Array.of(1, 2, 3)
const upstreams = [{ address: '192.0.2.1' }, { address: '192.0.2.2' }]

function open(change: Partial<DnsServerOptions> = {}): { wire: Wire; server: DnsServer } {
  const wire = new Wire()
  const server = new DnsServer({
    sockets: wire,
    netns: 0,
    table: { ttl: 1, hosts: [] },
    upstreams,
    ...change,
  })
  return { wire, server }
}

it('listens elsewhere, and has port 53 lead there; on another port where that is taken', () => {
  const wire = new WireWithRules()
  open({ sockets: wire })
  expect(wire.bound).toHaveLength(2)
  expect(wire.bound.every((port) => port >= 61_000)).toBe(true)
  expect(wire.redirects).toEqual([
    { table: 'holdfast-127.0.0.11', address: '127.0.0.11', port: 53, to: wire.bound.at(-1) },
  ])
  open({ sockets: wire, port: 5353 })
  expect(wire.bound.at(-1)).toBe(5353)
})

it('listens on port 53 where nftables cannot do that, and says what that means', () => {
  const wire = new WireWithRules('EOPNOTSUPP')
  const problems: string[] = []
  open({ sockets: wire, onProblem: (message) => problems.push(message) })
  expect(wire.bound.at(-1)).toBe(53)
  expect(problems).toEqual([expect.stringContaining('EOPNOTSUPP')])
})

it('goes on with what another one listened on, and closes the redirect first', () => {
  const calls: string[] = []
  const close = (what: string) => () => void calls.push(`close ${what}`)
  const sockets: DnsSockets = {
    connectIn: new Wire().connectIn,
    openDatagrams: (options) => ({
      fd: (options as Descriptor).fd,
      send: () => true,
      close: close('datagrams'),
    }),
    listenIn: (options) => ({ fd: (options as Descriptor).fd, on: () => {}, close: close('listener') }),
    openPortRedirectIn: (_netns, redirect) => ({
      fd: (redirect as Descriptor).fd,
      close: close('redirect'),
    }),
  }
  const descriptors = { datagrams: 7, listener: 8, redirect: 9 }
  const { server } = open({ sockets, inherited: () => descriptors })
  expect(server.descriptors).toEqual(descriptors)
  server.close()
  expect(calls).toEqual(['close redirect', 'close datagrams', 'close listener'])
})

it('is refused where the address leads to another resolver', () => {
  for (const code of ['EEXIST', 'EPERM'])
    expect(() => open({ sockets: new WireWithRules(code) })).toThrow(/127\.0\.0\.11:53.*EADDRINUSE/)
})

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('gives the client its answer, under its own id, once who is told of it has settled', async () => {
  const told = Promise.withResolvers<void>()
  const names: string[] = []
  const { wire } = open({ onAnswer: ({ name }) => (names.push(name), told.promise) })
  wire.ask(question('example.com', 1), peer)
  const [channel] = wire.upstream
  channel!.answer(answer(channel!.question, '8180', [a('192.0.2.7')]))
  await vi.advanceTimersByTimeAsync(500)
  expect(names).toEqual(['example.com'])
  expect(wire.sent).toEqual([])
  told.resolve()
  await vi.advanceTimersByTimeAsync(0)
  expect(wire.sent).toEqual([answer(question('example.com', 1), '8180', [a('192.0.2.7')])])
  expect(channel!.isOpen).toBe(false)
})

it('does not wait longer than a second for who is told', async () => {
  const problems: string[] = []
  const { wire } = open({ onAnswer: () => new Promise(() => {}), onProblem: (text) => problems.push(text) })
  wire.ask(question('example.com', 1), peer)
  wire.upstream[0]!.answer(answer(wire.upstream[0]!.question, '8180', [a('192.0.2.7')]))
  await vi.advanceTimersByTimeAsync(999)
  expect(wire.sent).toHaveLength(0)
  await vi.advanceTimersByTimeAsync(1)
  expect(wire.sent).toHaveLength(1)
  expect(problems).toEqual(['onAnswer of example.com: longer than 1000 ms'])
})

it('asks once for a client that asks again, and again for another', () => {
  const { wire } = open()
  for (const from of [peer, peer, Uint8Array.of(9)]) wire.ask(question('example.com', 1), from)
  expect(wire.upstream).toHaveLength(2)
})

it('asks the next server after 1.5 seconds, and says SERVFAIL when every one was asked twice', async () => {
  const { wire } = open()
  wire.ask(question('example.com', 1), peer)
  await vi.advanceTimersByTimeAsync(1499)
  expect(wire.upstream).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(wire.upstream).toHaveLength(2)
  await vi.advanceTimersByTimeAsync(4500)
  expect(wire.upstream).toHaveLength(4)
  expect(wire.sent.map((message) => message[3]! & 15)).toEqual([2])
  expect(wire.upstream.every(({ isOpen }) => !isOpen)).toBe(true)
})

it('asks with an id of its own each time', async () => {
  const { wire } = open()
  for (let client = 0; client < 100; client++) wire.ask(question('example.com', 1), Uint8Array.of(client))
  const ids = new Set(wire.upstream.map(({ question: asked }) => (asked[0]! << 8) | asked[1]!))
  expect(ids.size).toBeGreaterThan(90)
})

it('refuses what would be one question too many at once', () => {
  const { wire } = open()
  for (let client = 0; client < 257; client++)
    wire.ask(question('example.com', 1), Uint8Array.of(client >> 8, client & 255))
  expect(wire.upstream).toHaveLength(256)
  expect(wire.sent.map((message) => message[3]! & 15)).toEqual([2])
})
