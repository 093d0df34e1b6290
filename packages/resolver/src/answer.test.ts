import { expect, it } from 'vitest'
import { answerQuery, failureReply } from './answer.ts'
import { name, opt, question } from './message.test-support.ts'
import { NameIndex } from './name-index.ts'
import { readQuery, type Query } from './query.ts'
import { changeTable, type DnsTable } from './table.ts'
import { readName, readRecord, read16 } from './wire.ts'

const id = '0123456789abcdef'.repeat(4)
const table: DnsTable = {
  ttl: 60,
  hosts: [
    { id, names: ['Web', 'www'], domain: 'shop', addresses: ['10.213.1.5', 'fd00:1::5'] },
    { id: 'f'.repeat(64), names: ['db', 'store'], domain: 'shop', addresses: ['10.213.1.6'] },
    { id: 'e'.repeat(64), names: ['db2', 'store'], domain: 'shop', addresses: ['10.213.1.7'] },
  ],
  local: ['shop', '10.213.1.0/24', 'fd00:1::/64'],
}
const index = new NameIndex(table)

function ask(text: string, type: number, { extra = [] as Uint8Array[], limit = 512, of = index } = {}) {
  const query = readQuery(question(text, type, extra)) as Query
  const reply = answerQuery(of, query, limit)
  return reply && read(reply, query.questionEnd)
}

function read(message: Uint8Array, start: number) {
  const records = []
  let at = start
  const counts = [6, 8, 10].map((offset) => read16(message, offset))
  for (let count = counts[0]! + counts[1]! + counts[2]!; count > 0; count--) {
    const record = readRecord(message, at)!
    const data = [...message.subarray(record.dataStart, record.end)]
    records.push({
      owner: readName(message, at)!.name,
      type: record.type,
      class: record.class,
      ttl: record.ttl,
      data,
    })
    at = record.end
  }
  expect(at).toBe(message.length)
  const word = read16(message, 2)
  return {
    word: word.toString(16),
    code: word & 15,
    truncated: (word & 0x200) !== 0,
    counts,
    records,
    message,
  }
}

const A = 1
const PTR = 12
const AAAA = 28
const MX = 15
const HTTPS = 65
const ANY = 255

it('answers with the addresses of a name, an alias, and a name with its domain', () => {
  for (const text of ['web', 'WEB', 'www', 'web.shop', 'wWw.ShOp']) {
    expect(ask(text, A)).toMatchObject({
      word: '8580',
      counts: [1, 0, 0],
      records: [{ owner: text.toLowerCase(), type: A, ttl: 60, data: [10, 213, 1, 5] }],
    })
    expect(ask(text, AAAA)?.records[0]?.data).toEqual([0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5])
    expect(ask(text, ANY)?.records.map(({ type }) => type)).toEqual([A, AAAA])
  }
})

it('echoes the question byte by byte: clients put random upper and lower case in it (0x20)', () => {
  const asked = question('wEb.sHoP', A)
  expect(ask('wEb.sHoP', A)?.message.slice(12, asked.length)).toEqual(asked.slice(12))
})

it('knows an id by its beginning, from 12 characters on', () => {
  for (const text of [
    id.slice(0, 12),
    id.slice(0, 20),
    id.slice(0, 63),
    `${id.slice(0, 12)}.shop`,
    id.slice(0, 12).toUpperCase(),
  ])
    expect(ask(text, A)?.records[0]?.data).toEqual([10, 213, 1, 5])
  expect(ask(id.slice(0, 11), A)).toBeUndefined()
  expect(ask(`${id.slice(0, 12)}9`, A)).toBeUndefined()
})

it('does not choose between two ids with one beginning', () => {
  const twins = [`${'a'.repeat(12)}1`, `${'a'.repeat(12)}2`].map((each) => ({
    id: each,
    names: [],
    addresses: ['10.0.0.1'],
  }))
  const of = new NameIndex({ ttl: 1, hosts: twins })
  expect(ask('a'.repeat(12), A, { of })).toBeUndefined()
  expect(ask(`${'a'.repeat(12)}1`, A, { of })?.counts).toEqual([1, 0, 0])
})

it('answers NODATA, and asks nobody, for a record that a known name has not', () => {
  for (const type of [AAAA, MX, HTTPS]) {
    expect(ask('db', type)).toMatchObject({
      code: 0,
      counts: [0, 1, 0],
      records: [{ owner: 'db', type: 6, ttl: 60 }],
    })
  }
})

it('answers NXDOMAIN for what a local domain has not, with an SOA of that domain', () => {
  expect(ask('nobody.shop', A)).toMatchObject({
    code: 3,
    counts: [0, 1, 0],
    records: [{ owner: 'shop', type: 6 }],
  })
  expect(ask('a.b.c.shop', A)).toMatchObject({ code: 3, records: [{ owner: 'shop', type: 6 }] })
  expect(ask('shop', A)).toMatchObject({ code: 0, counts: [0, 1, 0] })
})

it('leaves to others what no table knows', () => {
  for (const text of ['example.com', 'nobody', 'myshop', 'web.other', ''])
    expect(ask(text, A)).toBeUndefined()
})

it('leaves another class than the internet to others', () => {
  const chaos = question('web', A)
  chaos[chaos.length - 1] = 3
  expect(answerQuery(index, readQuery(chaos) as Query, 512)).toBeUndefined()
})

it('answers for the name of an address, and NXDOMAIN for addresses that are ours and nobody has', () => {
  expect(ask('5.1.213.10.in-addr.arpa', PTR)).toMatchObject({
    code: 0,
    records: [{ type: PTR, data: name('web.shop') }],
  })
  const reverse = `5.${'0.'.repeat(23)}1.0.0.0.0.0.d.f.ip6.arpa`
  expect(ask(reverse, PTR)).toMatchObject({ records: [{ type: PTR, data: name('web.shop') }] })
  expect(ask('9.1.213.10.in-addr.arpa', PTR)).toMatchObject({
    code: 3,
    records: [{ owner: 'in-addr.arpa', type: 6 }],
  })
  expect(ask('9.2.213.10.in-addr.arpa', PTR)).toBeUndefined()
  expect(ask('5.1.213.10.in-addr.arpa', A)).toMatchObject({ code: 0, counts: [0, 1, 0] })
})

it('gives all addresses of an alias that several have, each first in turn, however the families are asked', () => {
  const first = Array.from({ length: 4 }, () => {
    ask('store', AAAA)
    const answer = ask('store', A)
    expect(answer?.counts).toEqual([2, 0, 0])
    return answer?.records[0]?.data[3]
  })
  expect(first.toSorted((x, y) => x! - y!)).toEqual([6, 6, 7, 7])
  expect(first[0]).not.toBe(first[1])
})

it('leaves records out that do not fit, and says so', () => {
  const hosts = Array.from({ length: 100 }, (_, each) => ({
    id: `${each}`,
    names: ['many'],
    addresses: [`10.0.0.${each}`],
  }))
  const of = new NameIndex({ ttl: 5, hosts })
  const cut = ask('many', A, { of, extra: [opt(1232)], limit: 1232 })!
  expect(cut.truncated).toBe(true)
  expect(cut.message.length).toBeLessThanOrEqual(1232)
  expect(cut.counts).toEqual([74, 0, 1])
  expect(ask('many', A, { of, limit: 65_535 })).toMatchObject({ truncated: false, counts: [100, 0, 0] })
})

it('answers EDNS with EDNS, and an unknown version of it with BADVERS', () => {
  expect(ask('web', A, { extra: [opt(1232, '00008000')] })?.records.at(-1)).toEqual({
    owner: '',
    type: 41,
    class: 4096,
    ttl: 0x8000,
    data: [],
  })
  const answer = ask('example.com', A, { extra: [opt(1232, '00010000')] })
  expect(answer).toMatchObject({ code: 0, counts: [0, 0, 1], records: [{ type: 41, ttl: 0x0100_0000 }] })
})

it('says SERVFAIL where nobody could be asked', () => {
  const query = readQuery(question('example.com', A)) as Query
  expect(read(failureReply(query, 512), query.questionEnd)).toMatchObject({ word: '8182', counts: [0, 0, 0] })
})

it('changes a table by id and domain', () => {
  const changed = changeTable(table, {
    put: [{ id: 'f'.repeat(64), names: ['db'], domain: 'shop', addresses: ['10.213.1.60'] }],
    remove: [{ id, domain: 'shop' }],
  })
  const of = new NameIndex(changed)
  expect(ask('db', A, { of })?.records[0]?.data).toEqual([10, 213, 1, 60])
  expect(ask('web', A, { of })).toBeUndefined()
  expect(ask('store', A, { of })?.records.map(({ data }) => data[3])).toEqual([7])
})

it('refuses what is no address, prefix or domain, naming the place', () => {
  const broken = (change: Partial<DnsTable>) => () => new NameIndex({ ...table, ...change })
  expect(broken({ hosts: [{ id, names: ['a'], addresses: ['10.0.0.256'] }] })).toThrow(
    /hosts\[0\]\.addresses\[0\]: '10\.0\.0\.256' is no address/,
  )
  expect(broken({ local: ['10.0.0.0/33'] })).toThrow(/local\[0\]: '10\.0\.0\.0\/33' is no prefix/)
  expect(broken({ local: ['a..b'] })).toThrow(/local\[0\]: 'a\.\.b' is no domain/)
})

it('leaves out names that DNS cannot carry', () => {
  const of = new NameIndex({
    ttl: 1,
    hosts: [{ id, names: ['x'.repeat(64), 'ok', 'a b'], addresses: ['10.0.0.1'] }],
  })
  expect(ask('ok', A, { of })?.counts).toEqual([1, 0, 0])
})
