/**
 * Rules as boxes of destination addresses, protocol and ports, none of which overlaps another: the kernel's sets
 * of intervals refuse an element that overlaps one that is there. Prefixes nest or are apart, so it is enough to
 * take off each box the ports that a wider or a longer lasting one has already.
 */
import { contains, type Family, type Prefix } from '../address.ts'
import type { NamePattern } from './dns-name.ts'
import type { CheckedRule } from './egress-rule.ts'
import type { LearnedAddress } from './dns-name.ts'

export interface Box {
  prefix: Prefix
  /** Absent: every protocol, and no port is looked at. */
  protocol?: number
  first: number
  last: number
  /** On the clock of `performance.now()`; Infinity for what does not come from a name. */
  expires: number
}

/** What a list of rules stands for in one family. */
export function boxesOf(
  rules: CheckedRule[],
  family: Family,
  addressesOf: (pattern: NamePattern) => LearnedAddress[],
): Box[] {
  return rules.flatMap(({ to, protocols, first, last }) => {
    const numbers: { protocol?: number }[] = protocols?.[family].map((protocol) => ({ protocol })) ?? [{}]
    return placesOf(to, addressesOf)
      .filter(({ prefix }) => prefix.family === family)
      .flatMap((place) => numbers.map((number) => ({ ...place, ...number, first, last })))
  })
}

function placesOf(
  to: CheckedRule['to'],
  addressesOf: (pattern: NamePattern) => LearnedAddress[],
): Pick<Box, 'prefix' | 'expires'>[] {
  if (to.kind === 'prefix') return [{ prefix: to.prefix, expires: Infinity }]
  if (to.kind === 'name') {
    return addressesOf(to.pattern).map(({ address, expires }) => ({
      prefix: { ...address, length: address.family === 4 ? 32 : 128 },
      expires,
    }))
  }
  return [
    { prefix: { family: 4, value: 0n, length: 0 }, expires: Infinity },
    { prefix: { family: 6, value: 0n, length: 0 }, expires: Infinity },
  ]
}

/** The same places, each in one box only. Boxes of every protocol are kept apart from those of one. */
export function withoutOverlaps(boxes: Box[]): Box[] {
  const ordered = boxes.toSorted((a, b) => a.prefix.length - b.prefix.length || b.expires - a.expires)
  const kept = new Map<number | undefined, Box[]>()
  for (const box of ordered) {
    const others = kept.get(box.protocol) ?? []
    kept.set(box.protocol, others)
    const wider = others.filter(({ prefix }) => contains(prefix, box.prefix))
    let ranges: [number, number][] = [[box.first, box.last]]
    for (const { first, last } of wider) ranges = ranges.flatMap((range) => subtract(range, first, last))
    others.push(...ranges.map(([first, last]) => ({ ...box, first, last })))
  }
  return [...kept.values()].flat()
}

function subtract([from, to]: [number, number], first: number, last: number): [number, number][] {
  if (last < from || first > to) return [[from, to]]
  const rest: [number, number][] = []
  if (first > from) rest.push([from, first - 1])
  if (last < to) rest.push([last + 1, to])
  return rest
}
