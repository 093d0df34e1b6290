/** DNS names in policies, and the addresses that answers gave for them. */
import type { LearnedAddresses } from '@holdfast/resolver'
import { addressBytes, isLoopback, isUnspecified, parseAddress, type Address } from '../address.ts'

/** `example.org`, or `*.example.org`: everything below it, however deep, but not the name itself. */
export interface NamePattern {
  /** In lower case, without the dot at the end. */
  name: string
  wildcard: boolean
}

/**
 * Takes a resolver's answer before it goes to the container that asked: once it resolves, what the answer
 * allows may be connected to.
 */
export type LearnName = (answer: LearnedAddresses) => Promise<void>

/** Undefined where it is no name. */
export function namePattern(text: string): NamePattern | undefined {
  const wildcard = text.startsWith('*.')
  const name = canonicalName(wildcard ? text.slice(2) : text)
  const labels = name.split('.')
  const valid =
    name.length <= 253 &&
    labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1)!) // or a mistyped address would pass for a name
  return valid ? { name, wildcard } : undefined
}

export function matchesName({ name, wildcard }: NamePattern, asked: string): boolean {
  return wildcard ? asked.endsWith(`.${name}`) : asked === name
}

function canonicalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/** Clients keep an answer for a while that its ttl does not cover; and one of 0 would be of no use. */
const shortestSeconds = 30
const longestSeconds = 86_400
/** Names and addresses come from whoever is asked: a bound for both. */
const mostNames = 4_096
const mostAddresses = 64

export interface LearnedAddress {
  address: Address
  /** On the clock of `performance.now()`. */
  expires: number
}

export class LearnedNames {
  readonly #names = new Map<string, Map<string, LearnedAddress>>()

  /**
   * The name, where something has to be written for it; undefined where the answer was known. An address counts
   * for twice its ttl and is written again in the second half, so that an answer costs no transaction while the
   * last one is fresh.
   */
  learn({ name, addresses, ttl }: LearnedAddresses, now: number): string | undefined {
    const canonical = canonicalName(name)
    const pattern = namePattern(canonical)
    if (!pattern || pattern.wildcard) return undefined
    const fresh = Math.min(Math.max(ttl, shortestSeconds), longestSeconds) * 1_000
    const known = this.#names.get(canonical) ?? new Map<string, LearnedAddress>()
    let changed = false
    for (const text of addresses.slice(0, mostAddresses)) {
      const address = parseAddress(text, 'addresses')
      // Blocking resolvers answer with these; they are never sent to.
      if (isLoopback(address) || isUnspecified(address)) continue
      const key = addressBytes(address).toString('hex')
      if ((known.get(key)?.expires ?? 0) >= now + fresh) continue
      known.set(key, { address, expires: now + 2 * fresh })
      changed = true
    }
    if (!changed) return undefined
    this.#names.delete(canonical) // to the end of the line
    this.#names.set(canonical, known)
    this.#prune(now)
    return canonical
  }

  /** What a pattern stands for now. */
  addressesOf(pattern: NamePattern, now: number): LearnedAddress[] {
    const maps = pattern.wildcard
      ? [...this.#names].filter(([name]) => matchesName(pattern, name)).map(([, known]) => known)
      : [this.#names.get(pattern.name) ?? new Map<string, LearnedAddress>()]
    return maps.flatMap((known) => [...known.values()].filter(({ expires }) => expires > now))
  }

  #prune(now: number): void {
    for (const [name, known] of this.#names) {
      if (this.#names.size <= mostNames && known.size <= 2 * mostAddresses) continue
      for (const [key, { expires }] of known) if (expires <= now) known.delete(key)
      if (known.size > 2 * mostAddresses || known.size === 0 || this.#names.size > mostNames)
        this.#names.delete(name)
    }
  }
}
