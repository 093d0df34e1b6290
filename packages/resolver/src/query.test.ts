import { expect, it } from 'vitest'
import { bytes, name, opt, question } from './message.test-support.ts'
import { payloadLimit, readQuery, type Query } from './query.ts'

const asHex = (message: Uint8Array) => Buffer.from(message).toString('hex')

function refusalOf(message: Uint8Array): string {
  const result = readQuery(message)
  if (typeof result !== 'object' || !('refusal' in result))
    throw new Error(`not refused: ${JSON.stringify(result)}`)
  return asHex(result.refusal)
}

it('reads a question', () => {
  const message = question('WEB.Shop', 28)
  expect(readQuery(message)).toEqual({
    message,
    name: 'web.shop',
    type: 28,
    class: 1,
    questionEnd: message.length,
    edns: undefined,
  })
})

it('reads EDNS: what fits over udp, version, DNSSEC', () => {
  const query = readQuery(question('web', 1, [opt(1232, '00018000')])) as Query
  expect(query.edns).toEqual({ payloadSize: 1232, version: 1, dnssecOk: true })
  expect(payloadLimit(query)).toBe(1232)
  expect(payloadLimit({ ...query, edns: undefined })).toBe(512)
  expect(payloadLimit(readQuery(question('web', 1, [opt(100)])) as Query)).toBe(512)
})

it('never answers an answer, nor what is shorter than a header', () => {
  const message = question('web', 1)
  message[2] = 0x81
  expect(readQuery(message)).toBe('ignore')
  expect(readQuery(bytes('1234 0100 0001'))).toBe('ignore')
})

it('refuses other operations than a query with NOTIMP', () => {
  const update = question('web', 1)
  update[2] = 0x28
  expect(refusalOf(update)).toBe('1234a8840000000000000000')
})

it.each([
  ['no question', bytes('1234 0100 0000 0000 0000 0000')],
  ['two questions', bytes('1234 0100 0002 0000 0000 0000', name('a'), '00010001', name('b'), '00010001')],
  ['a question that is cut off', question('web', 1).subarray(0, 18)],
  ['a name that points at itself', bytes('1234 0100 0001 0000 0000 0000 c00c 0001 0001')],
  ['a record that is missing', bytes('1234 0100 0001 0000 0000 0001', name('a'), '00010001')],
  ['bytes after its end', bytes(question('web', 1), '00')],
  ['two OPT records', question('web', 1, [opt(512), opt(512)])],
  ['an OPT record that has a name', question('web', 1, [bytes('01 61', opt(512))])],
])('refuses %s with FORMERR', (_what, message) => {
  expect(refusalOf(message)).toBe('123481810000000000000000')
})

it('survives any bytes', () => {
  let state = 1
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % below
  }
  const seeds = [
    question('web.shop', 1, [opt(4096)]),
    question('a', 255),
    bytes('1234 0100 0001 0001 0001 0001', name('a'), '00010001'),
  ]
  const outcomes = new Set<string>()
  for (let round = 0; round < 50_000; round++) {
    const message = bytes(
      seeds[random(seeds.length)]!,
      Array.from({ length: random(4) }, () => random(256)),
    )
    for (let change = random(6); change > 0; change--) message[random(message.length)] = random(256)
    const result = readQuery(
      message.subarray(0, random(2) === 0 ? message.length : random(message.length + 1)),
    )
    outcomes.add(result === 'ignore' ? 'ignore' : 'refusal' in result ? 'refusal' : 'query')
  }
  expect([...outcomes].toSorted()).toEqual(['ignore', 'query', 'refusal'])
})
