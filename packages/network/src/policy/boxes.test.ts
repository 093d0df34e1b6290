import { describe, expect, it } from 'vitest'
import { formatPrefix, parsePrefix } from '../address.ts'
import { boxesOf, withoutOverlaps, type Box } from './boxes.ts'
import { checkPolicy } from './egress-rule.ts'

function box(prefix: string, ports?: [number, number], change: Partial<Box> = {}): Box {
  const [first, last] = ports ?? [0, 65_535]
  return {
    prefix: parsePrefix(prefix, 'box'),
    first,
    last,
    expires: Infinity,
    ...(ports && { protocol: 6 }),
    ...change,
  }
}

const text = (boxes: Box[]) =>
  boxes.map(
    ({ prefix, protocol, first, last, expires }) =>
      `${formatPrefix(prefix)} ${protocol ?? 'any'} ${first}-${last}${expires === Infinity ? '' : ` until ${expires}`}`,
  )

describe('boxes without overlaps', () => {
  it('leave out what a wider network has', () => {
    expect(
      text(withoutOverlaps([box('10.1.2.3/32'), box('10.0.0.0/8'), box('10.1.0.0/16'), box('11.0.0.0/8')])),
    ).toEqual(['10.0.0.0/8 any 0-65535', '11.0.0.0/8 any 0-65535'])
  })

  it('keep the ports that the wider network lacks', () => {
    const boxes = [box('10.1.0.0/16', [1, 200]), box('10.0.0.0/8', [50, 60]), box('10.1.2.0/24', [1, 500])]
    expect(text(withoutOverlaps(boxes))).toEqual([
      '10.0.0.0/8 6 50-60',
      '10.1.0.0/16 6 1-49',
      '10.1.0.0/16 6 61-200',
      '10.1.2.0/24 6 201-500',
    ])
  })

  it('keep what lasts longer where two are of one place', () => {
    const boxes = [
      box('10.1.2.3/32', [80, 80], { expires: 100 }),
      box('10.1.2.3/32', [70, 90], { expires: 50 }),
      box('10.1.2.3/32', [85, 95], { expires: 200 }),
    ]
    expect(text(withoutOverlaps(boxes))).toEqual([
      '10.1.2.3/32 6 85-95 until 200',
      '10.1.2.3/32 6 80-80 until 100',
      '10.1.2.3/32 6 70-79 until 50',
      '10.1.2.3/32 6 81-84 until 50',
    ])
  })

  it('take protocols, and both families, for different places', () => {
    const boxes = [
      box('10.0.0.0/8', [80, 80]),
      box('10.0.0.0/8', [80, 80], { protocol: 17 }),
      box('10.0.0.0/8'),
      box('::/0', [80, 80]),
    ]
    expect(withoutOverlaps(boxes)).toHaveLength(4)
  })

  it('never overlap, and cover exactly what was covered', () => {
    // Prefixes of 192.0.2.0/29 and ports 1 to 8, each place counted by hand.
    let seed = 7
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((seed / 2_147_483_648) * below)
    }
    for (let round = 0; round < 200; round++) {
      const boxes = Array.from({ length: 1 + random(6) }, () => {
        const length = 29 + random(4)
        const size = 1 << (32 - length)
        const first = 1 + random(8)
        const address = Math.floor(random(8) / size) * size
        return box(`192.0.2.${address}/${length}`, [first, first + random(9 - first)])
      })
      const count = (list: Box[], host: number, port: number) =>
        list.filter(
          ({ prefix, first, last }) =>
            Number(prefix.value & 7n) >> (32 - prefix.length) === host >> (32 - prefix.length) &&
            first <= port &&
            port <= last,
        ).length
      const disjoint = withoutOverlaps(boxes)
      for (let host = 0; host < 8; host++) {
        for (let port = 1; port <= 8; port++)
          expect(count(disjoint, host, port)).toBe(Math.min(1, count(boxes, host, port)))
      }
    }
  })
})

describe('the boxes of rules', () => {
  it('are one for each family, protocol and address that a rule stands for', () => {
    const { deny } = checkPolicy(
      { deny: [{ port: 53 }, { to: 'example.org', protocol: 'tcp' }, { protocol: 'icmp' }] },
      'egress',
    )
    const learned = () => [{ address: { family: 4 as const, value: 0xc0000201n }, expires: 9 }]
    expect(text(boxesOf(deny, 4, learned))).toEqual([
      '0.0.0.0/0 6 53-53',
      '0.0.0.0/0 17 53-53',
      '0.0.0.0/0 132 53-53',
      '192.0.2.1/32 6 0-65535 until 9',
      '0.0.0.0/0 1 0-65535',
    ])
    expect(text(boxesOf(deny, 6, learned))).toEqual([
      '::/0 6 53-53',
      '::/0 17 53-53',
      '::/0 132 53-53',
      '::/0 58 0-65535',
    ])
  })
})
