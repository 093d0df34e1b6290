import { expect, it } from 'vitest'
import { a, answer, bytes, name, opt, question } from './message.test-support.ts'
import { readQuery, type Query } from './query.ts'
import { answersQuestion, cutAnswer, isTruncated, learnedAddresses } from './upstream-answer.ts'

const asked = question('www.Example.com', 1)
const query = readQuery(asked) as Query
const cname = (owner: string, target: string, ttl = '0000001e') =>
  bytes(name(owner), '0005 0001', ttl, [0, name(target).length], name(target))

it('takes an answer for one to the question that was asked, whatever its case', () => {
  expect(answersQuestion(answer(question('WWW.example.COM', 1), '8180', []), query)).toBe(true)
  expect(answersQuestion(answer(question('www.example.org', 1), '8180', []), query)).toBe(false)
  expect(answersQuestion(answer(question('www.example.com', 28), '8180', []), query)).toBe(false)
  expect(answersQuestion(asked, query)).toBe(false)
  expect(answersQuestion(bytes('1234 8181 0000 0000 0000 0000'), query)).toBe(true)
  expect(answersQuestion(bytes('1234 8180 0000 0000 0000 0000'), query)).toBe(false)
})

it('learns the addresses at the end of a chain of aliases, with the least time to live', () => {
  const message = answer(asked, '8180', [
    cname('www.example.com', 'cdn.net', '00000014'),
    a('1.2.3.4', '0000003c', bytes(name('CDN.net'))),
    a('1.2.3.5', '0000003d', bytes(name('cdn.net'))),
  ])
  expect(learnedAddresses(message, query)).toEqual({
    name: 'www.example.com',
    addresses: ['1.2.3.4', '1.2.3.5'],
    ttl: 20,
  })
})

it('learns nothing of names that were not asked for, nor from broken answers', () => {
  expect(
    learnedAddresses(answer(asked, '8180', [a('6.6.6.6', '0000003c', bytes(name('evil.net')))]), query),
  ).toBeUndefined()
  expect(learnedAddresses(answer(asked, '8183', []), query)).toBeUndefined()
  const broken = answer(asked, '8180', [a('1.2.3.4')])
  expect(learnedAddresses(broken.subarray(0, broken.length - 1), query)).toBeUndefined()
})

it('cuts whole records off, keeps EDNS, and says that it did', () => {
  const records = Array.from({ length: 60 }, (_, index) => a(`10.0.0.${index}`))
  const message = bytes(answer(asked, '8180', records), opt(1232))
  message[11] = 1
  const cut = cutAnswer(message, 512)
  expect(cut.length).toBeLessThanOrEqual(512)
  expect(isTruncated(cut)).toBe(true)
  expect([...cut.subarray(4, 12)]).toEqual([0, 1, 0, 29, 0, 0, 0, 1])
  expect(cut.subarray(-11)).toEqual(opt(1232))
  expect(cutAnswer(message, 65_535)).toBe(message)
})

it('leaves the header of what it cannot read', () => {
  const message = bytes(
    '1234 8180 0001 0009 0000 0000',
    Array.from({ length: 600 }, () => 0xff),
  )
  expect(cutAnswer(message, 512)).toEqual(bytes('1234 8380 0000 0000 0000 0000'))
})

it('survives any bytes', () => {
  let state = 3
  const random = (below: number) => ((state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 8) % below
  const seed = bytes(
    answer(asked, '8180', [
      cname('www.example.com', 'cdn.net'),
      a('1.2.3.4', '0000003c', bytes('c02d')),
      a('1.2.3.5'),
    ]),
  )
  for (let round = 0; round < 30_000; round++) {
    const message = seed.slice(0, random(3) === 0 ? 12 + random(seed.length - 12) : seed.length)
    for (let change = random(5); change > 0; change--) message[random(message.length)] = random(256)
    answersQuestion(message, query)
    learnedAddresses(message, query)
    expect(cutAnswer(message, 40).length).toBeLessThanOrEqual(Math.max(40, 12))
  }
})
