/**
 * Leases as symbolic links, named after the address and leading to whose it is. symlink(2) makes one whole or
 * not at all, and for one caller alone, so any number of processes can take addresses without a lock, and a
 * killed one leaves an owner's name on whatever it took.
 */
import { readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasCode, HoldfastError } from '@holdfast/errors'
import {
  contains,
  familyBits,
  formatAddress,
  formatPrefix,
  lastAddress,
  parseAddress,
  type Address,
  type Family,
  type Prefix,
} from '../address.ts'
import type { Range } from '../ipam.ts'

export interface LeaseOwner {
  containerId: string
  interface: string
}

export interface Lease {
  address: Address
  range: Range
}

export interface LeaseRequest {
  sets: Range[][]
  reserved: Prefix[]
  wishes: Address[]
}

export class LeaseFiles {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /**
   * One address of each set, all or none. HF_BAD_REQUEST where a wish is in no set, HF_ADDRESS_IN_USE,
   * HF_ADDRESS_POOL_EXHAUSTED.
   */
  take(owner: LeaseOwner, { sets, reserved, wishes }: LeaseRequest): Lease[] {
    const wanted = assign(sets, wishes)
    const leases: Lease[] = []
    try {
      for (const [index, set] of sets.entries()) {
        const wish = wanted[index]
        leases.push(wish ? this.#takeWish(owner, wish) : this.#choose(owner, { set, reserved, index }))
      }
      return leases
    } catch (error) {
      for (const { address } of leases) this.release(owner, formatAddress(address))
      throw error
    }
  }

  /** Gives one address back, if it is this owner's. */
  release(owner: LeaseOwner, address: string): void {
    if (this.ownerOf(address) === ownerText(owner)) rmSync(join(this.#dir, address), { force: true })
  }

  /** Gives back whatever is this owner's. */
  releaseAll(owner: LeaseOwner): void {
    for (const address of this.addressesOf(owner)) this.release(owner, address)
  }

  addressesOf(owner: LeaseOwner): string[] {
    return this.all().flatMap((lease) => (lease.owner === ownerText(owner) ? [lease.address] : []))
  }

  /** `ID/INTERFACE`; undefined: it is free. */
  ownerOf(address: string): string | undefined {
    try {
      return readlinkSync(join(this.#dir, address))
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'EINVAL')) throw error
      return undefined
    }
  }

  all(): { address: string; owner: string }[] {
    return this.#names().flatMap((address) => {
      const owner = this.ownerOf(address)
      return owner === undefined ? [] : [{ address, owner }]
    })
  }

  #takeWish(owner: LeaseOwner, wish: Lease): Lease {
    const text = formatAddress(wish.address)
    if (this.#claim(owner, text)) return wish
    throw new HoldfastError('HF_ADDRESS_IN_USE', `address ${text} is in use`, {
      hint: `It belongs to ${this.ownerOf(text) ?? 'another container'}.`,
      details: { address: text, holder: this.ownerOf(text) },
    })
  }

  /** The next one after the last that was handed out: what was given back rests for as long as can be. */
  #choose(owner: LeaseOwner, request: { set: Range[]; reserved: Prefix[]; index: number }): Lease {
    const { set, reserved, index } = request
    const taken = new Set(this.#names())
    const cursor = join(this.#dir, `.last-${index}`)
    for (const lease of candidates(set, new Reservations(reserved), lastOf(cursor))) {
      const text = formatAddress(lease.address)
      if (taken.has(text) || !this.#claim(owner, text)) continue
      writeFileSync(cursor, text) // a hint: whoever loses the race for it does no harm
      return lease
    }
    const ranges = set.map(({ subnet }) => formatPrefix(subnet)).join(', ')
    throw new HoldfastError('HF_ADDRESS_POOL_EXHAUSTED', `no free address is left in ${ranges}`, {
      hint: 'Remove containers that are not needed, or give the network a larger range.',
    })
  }

  #claim(owner: LeaseOwner, address: string): boolean {
    try {
      symlinkSync(ownerText(owner), join(this.#dir, address))
      return true
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
      return false
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#dir).filter((name) => !name.startsWith('.'))
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error
      return []
    }
  }
}

export function ownerText({ containerId, interface: name }: LeaseOwner): string {
  return `${containerId}/${name}`
}

/** Which set each wish is for; a wish may lie outside of the set's ranges, but not outside of their subnets. */
function assign(sets: Range[][], wishes: Address[]): (Lease | undefined)[] {
  const assigned: (Lease | undefined)[] = sets.map(() => undefined)
  for (const address of wishes) {
    const text = formatAddress(address)
    const fits = (range: Range): boolean => contains(range.subnet, address)
    const index = sets.findIndex((set, at) => !assigned[at] && set.some(fits))
    if (index < 0) {
      const subnets = sets.flat().map(({ subnet }) => formatPrefix(subnet))
      throw new HoldfastError('HF_BAD_REQUEST', `address ${text} is in no subnet of the network`, {
        hint: `Its subnets are ${subnets.join(' and ')}; each set of ranges gives one address.`,
        details: { field: 'ips' },
      })
    }
    const range = sets[index]!.find(fits)!
    const { subnet, gateway } = range
    const broadcast = subnet.family === 4 && address.value === lastAddress(subnet)
    if (address.value === subnet.value || broadcast || address.value === gateway.value) {
      throw new HoldfastError(
        'HF_BAD_REQUEST',
        `address ${text} is the network's, its gateway's or its broadcast's`,
        {
          details: { field: 'ips' },
        },
      )
    }
    assigned[index] = { address, range }
  }
  return assigned
}

/** Every address of a set once, from the one behind `last` on. */
function* candidates(set: Range[], reserved: Reservations, last: Address | undefined): Generator<Lease> {
  const at = last ? set.findIndex((range) => inRange(range, last)) : -1
  if (at < 0) {
    for (const range of set) yield* addresses(range, range.first, range.last, reserved)
    return
  }
  yield* addresses(set[at]!, last!.value + 1n, set[at]!.last, reserved)
  for (let step = 1; step < set.length; step++) {
    const range = set[(at + step) % set.length]!
    yield* addresses(range, range.first, range.last, reserved)
  }
  yield* addresses(set[at]!, set[at]!.first, last!.value, reserved)
}

function* addresses(range: Range, first: bigint, last: bigint, reserved: Reservations): Generator<Lease> {
  const { family } = range.subnet
  for (let value = first; value <= last; value++) {
    const end = reserved.endOf({ family, value })
    if (end !== undefined) value = end
    else if (value !== range.gateway.value) yield { address: { family, value }, range }
  }
}

/** Addresses are looked up, networks gone through: there may be thousands of the one, and are few of the other. */
class Reservations {
  readonly #addresses: Record<Family, Set<bigint>> = { 4: new Set(), 6: new Set() }
  readonly #networks: Prefix[] = []

  constructor(reserved: readonly Prefix[]) {
    for (const prefix of reserved) {
      if (prefix.length === familyBits[prefix.family]) this.#addresses[prefix.family].add(prefix.value)
      else this.#networks.push(prefix)
    }
  }

  /** The last address of the reservation that this one is in. */
  endOf(address: Address): bigint | undefined {
    if (this.#addresses[address.family].has(address.value)) return address.value
    const network = this.#networks.find((prefix) => contains(prefix, address))
    return network && lastAddress(network)
  }
}

function inRange(range: Range, { family, value }: Address): boolean {
  return family === range.subnet.family && value >= range.first && value <= range.last
}

function lastOf(file: string): Address | undefined {
  try {
    return parseAddress(readFileSync(file, 'latin1'), file)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'HF_BAD_REQUEST')) throw error
    return undefined
  }
}
