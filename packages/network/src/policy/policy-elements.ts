/** A policy as elements of the rules' sets, there and back. */
import {
  addressBytes,
  addressFromBytes,
  familyBits,
  lastAddress,
  type Address,
  type Family,
  type Prefix,
} from '../address.ts'
import {
  concatenation,
  interfaceName,
  portBytes,
  type FoundElement,
  type SetElement,
  type SetName,
} from '../netlink/nfnetlink.ts'
import { boxesOf, withoutOverlaps, type Box } from './boxes.ts'
import type { LearnedAddress, NamePattern } from './dns-name.ts'
import type { CheckedPolicy } from './egress-rule.ts'
import { guardSets, limitedNetworks, limitedSet, policySet, type List, type Scope } from './policy-ruleset.ts'

export interface TimedElement {
  set: SetName
  element: Pick<SetElement, 'key' | 'end'>
  /** On the clock of `performance.now()`; Infinity: it stays. */
  expires: number
}

/** Whose policy it is; without members, the network's. */
export interface Subject {
  policy: CheckedPolicy
  /** Of a container: the host's end of its pair, and its addresses. */
  members?: { link: string; addresses: Address[] }
  /** What an earlier process wrote for names that this one has not heard of yet. */
  adopted: { list: List; box: Box }[]
}

export interface Place {
  table: string
  bridge: string
}

const families = [4, 6] as const
const lists = ['allow', 'deny'] as const

/** By `elementId`. */
export function elementsOfSubject(
  place: Place,
  subject: Subject,
  addressesOf: (pattern: NamePattern) => LearnedAddress[],
): Map<string, TimedElement> {
  const elements = [...memberElements(place, subject)]
  const scope: Scope = subject.members ? 'container' : 'network'
  for (const family of families) {
    const source = subject.members?.addresses.find((address) => address.family === family)
    if (subject.members && !source) continue
    for (const list of lists) {
      const boxes = [
        ...boxesOf(subject.policy[list] ?? [], family, addressesOf),
        ...subject.adopted
          .filter((each) => each.list === list && each.box.prefix.family === family)
          .map(({ box }) => box),
      ]
      for (const box of withoutOverlaps(boxes)) {
        const kind = box.protocol === undefined ? 'to' : 'port'
        const set = { table: place.table, set: policySet(place.bridge, scope, list, kind, family) }
        elements.push({ set, element: interval(box, source), expires: box.expires })
      }
    }
  }
  return new Map(elements.map((each) => [elementId(each), each]))
}

/** That there is an allow list; and what a container may send from, or it could borrow another's policy. */
function memberElements({ table, bridge }: Place, { policy, members }: Subject): TimedElement[] {
  const forever = (set: SetName, ...key: Buffer[]): TimedElement => ({
    set,
    element: { key },
    expires: Infinity,
  })
  if (!members) return policy.allow ? [forever({ table, set: limitedNetworks }, interfaceName(bridge))] : []
  const link = interfaceName(members.link)
  const guard = { family: 'bridge', table } as const
  return [
    forever({ ...guard, set: guardSets.links }, link),
    ...members.addresses.flatMap((address) => [
      forever({ ...guard, set: guardSets[address.family] }, link, addressBytes(address)),
      ...(policy.allow
        ? [forever({ table, set: limitedSet(bridge, address.family) }, addressBytes(address))]
        : []),
    ]),
  ]
}

/** Every element has a first and a last key, also where they are one. */
function interval(
  { prefix, protocol, first, last }: Box,
  source: Address | undefined,
): TimedElement['element'] {
  const from = source ? [addressBytes(source)] : []
  const [low, high] = [addressBytes(prefix), addressBytes({ ...prefix, value: lastAddress(prefix) })]
  if (protocol === undefined) {
    // The network's sets are of a protocol and an address, so that they are ones of several fields too.
    const any = (number: number) => (source ? from : [Buffer.of(number)])
    return { key: [...any(0), low], end: [...any(255), high] }
  }
  const number = Buffer.of(protocol)
  return {
    key: [...from, number, low, portBytes(first)],
    end: [...from, number, high, portBytes(last)],
  }
}

export function elementId({ set, element }: Pick<TimedElement, 'set' | 'element'>): string {
  const hex = (parts: Buffer[] = []) => concatenation(parts).toString('hex')
  return `${set.set} ${hex(element.key)} ${hex(element.end)}`
}

export function foundElement(set: SetName, found: FoundElement, now: number): TimedElement {
  return {
    set,
    element: { key: [found.key], ...(found.end && { end: [found.end] }) },
    expires: found.remaining === undefined ? Infinity : now + found.remaining,
  }
}

export interface ReadElement {
  list: List
  box: Box
  /** Of a container's. */
  source: Address | undefined
}

/** What an element of a list's set says; undefined for those of other sets. */
export function readElement(
  bridge: string,
  { set, element, expires }: TimedElement,
): ReadElement | undefined {
  for (const scope of ['network', 'container'] as const) {
    for (const list of lists) {
      for (const kind of ['to', 'port'] as const) {
        const family = families.find((each) => policySet(bridge, scope, list, kind, each) === set.set)
        if (family === undefined || !element.end) continue
        return { list, ...readBox({ scope, kind, family, expires }, element.key[0]!, element.end[0]!) }
      }
    }
  }
  return undefined
}

function readBox(
  of: { scope: Scope; kind: 'to' | 'port'; family: Family; expires: number },
  key: Buffer,
  end: Buffer,
): Pick<ReadElement, 'box' | 'source'> {
  const size = of.family === 4 ? 4 : 16
  const source = of.scope === 'container' ? addressFromBytes(key.subarray(0, size)) : undefined
  let at = source ? size : 0
  const hasProtocol = of.kind === 'port' || !source
  const protocol = key[at]!
  if (hasProtocol) at += 4
  const low = addressFromBytes(key.subarray(at, at + size))
  const high = addressFromBytes(end.subarray(at, at + size))
  const length = familyBits[of.family] - (high.value - low.value).toString(2).replace(/^0$/, '').length
  const prefix: Prefix = { ...low, length }
  const box =
    of.kind === 'to'
      ? { prefix, first: 0, last: 65_535, expires: of.expires }
      : {
          prefix,
          protocol,
          first: key.readUInt16BE(at + size),
          last: end.readUInt16BE(at + size),
          expires: of.expires,
        }
  return { box, source }
}
