/**
 * Leases of addresses, in an SQLite file in the network's state directory.
 *
 * They must survive the death of this process and be shared with other processes, not a power loss: after a
 * reboot nothing is attached. So the file is named after the boot, written without fsync (`synchronous=OFF`
 * loses nothing while the kernel lives; a lease costs 0.1 ms), and those of earlier boots are removed.
 * SQLite's own lock keeps two processes from handing out one address.
 *
 * An address that was never used comes first, then the one that has been free for the longest time. It is
 * free once its link is gone, not when it is given back: until then it is `leaving`.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { bootId } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import { contains, formatAddress, formatPrefix, parseAddress, type Address, type Prefix } from './address.ts'

/** Addresses of one subnet that may be handed out. */
export interface Range {
  subnet: Prefix
  /** First and last address that may be handed out by choice; one that is asked for may lie outside. */
  first: bigint
  last: bigint
  /** Never handed out. */
  gateway: Address
}

export interface Lease {
  address: string
  /** Whose it is. */
  id: string
  interface: string
  /** The host's end of the pair that carries it. */
  link: string
  state: 'held' | 'leaving'
}

export type LeaseOwner = Pick<Lease, 'id' | 'interface' | 'link'>

/**
 * An address stays out of the record when it would make the file grow without end: such ranges never run dry.
 */
const rememberedRange = 1n << 20n

export class Ipam {
  readonly #db: DatabaseSync
  readonly #network: string
  readonly #statements = new Map<string, StatementSync>()

  constructor(network: string, stateDir: string) {
    this.#network = network
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    const file = `leases-${bootId()}.db`
    for (const name of readdirSync(stateDir)) {
      if (/^leases-.*\.db(-wal|-shm)?$/.test(name) && !name.startsWith(file)) rmSync(join(stateDir, name))
    }
    this.#db = new DatabaseSync(join(stateDir, file), { timeout: 5_000 })
    this.#db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF')
    this.#db.exec(`
      CREATE TABLE IF NOT EXISTS lease (
        address TEXT PRIMARY KEY, id TEXT, interface TEXT, link TEXT,
        state TEXT NOT NULL, released INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS lease_state ON lease (state, released);
      CREATE TABLE IF NOT EXISTS cursor (range TEXT PRIMARY KEY, next TEXT NOT NULL) WITHOUT ROWID`)
  }

  /**
   * One address of each range, all or none: the one that is asked for, or one of our choice. HF_BAD_REQUEST
   * where a wish is impossible; HF_ADDRESS_POOL_EXHAUSTED; HF_NETWORK_FAILED where it is somebody's, with his
   * `details`.
   */
  lease(ranges: Range[], owner: LeaseOwner, wishes: Address[]): Address[] {
    for (const wish of wishes) this.#checkWish(ranges, wish)
    return this.#transaction(() =>
      ranges.map((range) => {
        const wish = wishes.find((address) => contains(range.subnet, address))
        const address = wish ? this.#take(wish) : this.#choose(range)
        this.#run(
          `INSERT INTO lease (address, id, interface, link, state) VALUES (?, ?, ?, ?, 'held')
         ON CONFLICT (address) DO UPDATE SET id=excluded.id, interface=excluded.interface, link=excluded.link, state='held'`,
          formatAddress(address),
          owner.id,
          owner.interface,
          owner.link,
        )
        return address
      }),
    )
  }

  /** Leases a given set again after a restart: what the record says now is replaced. */
  adopt(addresses: Address[], owner: LeaseOwner): void {
    this.#transaction(() => {
      for (const address of addresses) {
        this.#run(
          `INSERT OR REPLACE INTO lease (address, id, interface, link, state) VALUES (?, ?, ?, ?, 'held')`,
          formatAddress(address),
          owner.id,
          owner.interface,
          owner.link,
        )
      }
    })
  }

  /** Given back by its owner; it may still be on a link. */
  leave(owner: LeaseOwner): void {
    this.#run(`UPDATE lease SET state='leaving' WHERE link=? AND id=? AND state='held'`, owner.link, owner.id)
  }

  /** The link is gone: its addresses are free, at the end of the line. */
  free(link: string, ranges: Range[]): void {
    this.#transaction(() => {
      const order = Number(this.#get('SELECT coalesce(max(released), 0) + 1 AS value FROM lease')?.value)
      for (const { address } of this.#all(
        `SELECT address FROM lease WHERE link=? AND state='leaving'`,
        link,
      )) {
        const parsed = parseAddress(String(address), 'lease')
        const range = ranges.find(({ subnet }) => contains(subnet, parsed))
        if (range && range.last - range.first < rememberedRange) {
          this.#run(
            `UPDATE lease SET state='free', id=NULL, interface=NULL, link=NULL, released=? WHERE address=?`,
            order,
            address as string,
          )
        } else {
          this.#run('DELETE FROM lease WHERE address=?', address as string)
        }
      }
    })
  }

  /** Every lease that is held or on its way out. */
  leases(): Lease[] {
    return this.#all(
      `SELECT address, id, interface, link, state FROM lease WHERE state <> 'free'`,
    ) as unknown as Lease[]
  }

  /** Forgets everything: the network is removed. */
  erase(): void {
    this.#db.exec('DELETE FROM lease; DELETE FROM cursor')
  }

  close(): void {
    this.#db.close()
  }

  #checkWish(ranges: Range[], wish: Address): void {
    const text = formatAddress(wish)
    const range = ranges.find(({ subnet }) => contains(subnet, wish))
    if (!range) {
      throw new HoldfastError(
        'HF_BAD_REQUEST',
        `address ${text} is in no subnet of network ${this.#network}`,
        {
          hint: `Its subnets are ${ranges.map(({ subnet }) => formatPrefix(subnet)).join(' and ')}.`,
          details: { field: 'addresses' },
        },
      )
    }
    const broadcast =
      wish.family === 4 && wish.value === range.subnet.value + (1n << BigInt(32 - range.subnet.length)) - 1n
    if (wish.value === range.subnet.value || broadcast || wish.value === range.gateway.value) {
      throw new HoldfastError(
        'HF_BAD_REQUEST',
        `address ${text} is the network's own, its gateway's or its broadcast's`,
        {
          details: { field: 'addresses' },
        },
      )
    }
  }

  #take(wish: Address): Address {
    const text = formatAddress(wish)
    const lease = this.#get(
      `SELECT id, interface, state, link FROM lease WHERE address=? AND state <> 'free'`,
      text,
    )
    if (!lease) return wish
    throw new HoldfastError('HF_NETWORK_FAILED', `address ${text} is in use in network ${this.#network}`, {
      hint: `It belongs to ${String(lease.id)}.`,
      details: { address: text, holder: lease.id, state: lease.state, link: lease.link },
    })
  }

  #choose(range: Range): Address {
    return this.#neverUsed(range) ?? this.#longestFree(range) ?? this.#exhausted(range)
  }

  /** The cursor only moves up; a range too large to remember starts over at its end. */
  #neverUsed(range: Range): Address | undefined {
    const { family } = range.subnet
    const key = `${formatPrefix(range.subnet)} ${range.first} ${range.last}`
    const row = this.#get('SELECT next FROM cursor WHERE range=?', key)
    let next = row ? BigInt(row.next as string) : range.first
    while (next <= range.last) {
      const address: Address = { family, value: next++ }
      if (address.value === range.gateway.value) continue
      if (this.#get('SELECT 1 AS found FROM lease WHERE address=?', formatAddress(address))) continue
      const wrapped = next > range.last && range.last - range.first >= rememberedRange ? range.first : next
      this.#run('INSERT OR REPLACE INTO cursor (range, next) VALUES (?, ?)', key, String(wrapped))
      return address
    }
    this.#run('INSERT OR REPLACE INTO cursor (range, next) VALUES (?, ?)', key, String(next))
    return undefined
  }

  #longestFree(range: Range): Address | undefined {
    for (const { address } of this.#iterate(
      `SELECT address FROM lease WHERE state='free' ORDER BY released, address`,
    )) {
      const parsed = parseAddress(String(address), 'lease')
      if (parsed.family !== range.subnet.family || parsed.value === range.gateway.value) continue
      if (parsed.value >= range.first && parsed.value <= range.last) return parsed
    }
    return undefined
  }

  #exhausted(range: Range): never {
    throw new HoldfastError(
      'HF_ADDRESS_POOL_EXHAUSTED',
      `no free address is left in ${formatPrefix(range.subnet)} of network ${this.#network}`,
      { hint: 'Remove containers that are not needed, or use a network with a larger subnet.' },
    )
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#db.exec('COMMIT')
      return result
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (!statement) this.#statements.set(sql, (statement = this.#db.prepare(sql)))
    return statement
  }

  #run(sql: string, ...values: (string | number)[]): void {
    this.#statement(sql).run(...values)
  }

  #get(sql: string, ...values: (string | number)[]) {
    return this.#statement(sql).get(...values)
  }

  #all(sql: string, ...values: (string | number)[]) {
    return this.#statement(sql).all(...values)
  }

  #iterate(sql: string) {
    return this.#statement(sql).iterate()
  }
}
