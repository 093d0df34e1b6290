/**
 * Ranges of user and group ids for containers' user namespaces, unique across all instances on the machine: one
 * SQLite file that every supervisor opens. A range is kept as long as its container, whose files bear its ids.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { HoldfastError } from '@holdfast/errors'
import { readIfThere } from '../engine/etc/etc-files.ts'

/** Above what systemd-nspawn and the shadow tools hand out. */
export const defaultBase = 0x7000_0000

/** How many ids a container has unless it asks for more. */
export const defaultSize = 65_536

/** Ids are kept below 2^31: some programs take them as signed numbers. */
const end = 0x8000_0000

export interface IdRange {
  start: number
  size: number
}

export interface IdRangesOptions {
  file: string
  /** First id to hand out. */
  base: number
  /** The database whose containers these are: its absence means that its ranges are free. */
  owner: string
  /** Ranges that the shadow tools have given to users; default: /etc/subuid and /etc/subgid. */
  reserved?: () => IdRange[]
}

export class IdRanges {
  readonly #database: DatabaseSync
  readonly #options: IdRangesOptions
  readonly #before: StatementSync
  readonly #insert: StatementSync
  readonly #release: StatementSync
  readonly #cursor: StatementSync
  readonly #setCursor: StatementSync

  constructor(options: IdRangesOptions) {
    this.#options = options
    mkdirSync(dirname(options.file), { recursive: true, mode: 0o700 })
    const database = new DatabaseSync(options.file, { timeout: 2000 })
    this.#database = database
    database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = NORMAL;
      CREATE TABLE IF NOT EXISTS ranges (
        start INTEGER PRIMARY KEY, size INTEGER NOT NULL, owner TEXT NOT NULL, container TEXT NOT NULL
      ) STRICT;
      CREATE INDEX IF NOT EXISTS by_container ON ranges (container);
      CREATE TABLE IF NOT EXISTS cursors (base INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
    `)
    this.#before = database.prepare(
      'SELECT start, size FROM ranges WHERE start < ? ORDER BY start DESC LIMIT 1',
    )
    this.#insert = database.prepare('INSERT INTO ranges (start, size, owner, container) VALUES (?, ?, ?, ?)')
    this.#release = database.prepare('DELETE FROM ranges WHERE container = ? AND owner = ?')
    this.#cursor = database.prepare('SELECT next FROM cursors WHERE base = ?')
    this.#setCursor = database.prepare('INSERT OR REPLACE INTO cursors (base, next) VALUES (?, ?)')
  }

  /** A range for this container. Throws HF_ID_RANGE_EXHAUSTED. */
  allocate(container: string, size: number = defaultSize): IdRange {
    return this.#locked(() => {
      // Going round rather than reusing at once: a file that outlived its container is then nobody's for long.
      const next =
        (this.#cursor.get(this.#options.base)?.['next'] as number | undefined) ?? this.#options.base
      const start = this.#firstFree(next, size) ?? this.#reclaim(size)
      if (start === undefined) throw exhausted(size)
      this.#insert.run(start, size, this.#options.owner, container)
      this.#setCursor.run(this.#options.base, start + size)
      return { start, size }
    })
  }

  release(container: string): void {
    this.#release.run(container, this.#options.owner)
  }

  /** The range is another container's from now on. */
  transfer(from: string, to: string): void {
    this.#database
      .prepare('UPDATE ranges SET container = ? WHERE container = ? AND owner = ?')
      .run(to, from, this.#options.owner)
  }

  /** After a restart: gives back what belongs to no container of ours, and takes what a container has but the file lacks. */
  restore(containers: Map<string, IdRange>): void {
    this.#locked(() => {
      const rows = this.#database
        .prepare('SELECT container FROM ranges WHERE owner = ?')
        .all(this.#options.owner)
      for (const row of rows) {
        const container = row['container'] as string
        if (!containers.has(container)) this.release(container)
      }
      const known = new Set(rows.map((row) => row['container'] as string))
      for (const [container, { start, size }] of containers) {
        if (known.has(container) || this.#conflict(start, size)) continue
        this.#insert.run(start, size, this.#options.owner, container)
      }
    })
  }

  close(): void {
    this.#database.close()
  }

  /** From `from` to the end, then from the base. */
  #firstFree(from: number, size: number): number | undefined {
    const { base } = this.#options
    const inRange = from >= base && from + size <= end ? from : base
    return this.#scan(inRange, end, size) ?? this.#scan(base, Math.min(inRange + size, end), size)
  }

  #scan(from: number, to: number, size: number): number | undefined {
    let start = from
    while (start + size <= to) {
      const conflict = this.#conflict(start, size)
      if (!conflict) return start
      // Ranges start at whole multiples, so that their numbers can be told apart by eye.
      start = Math.ceil((conflict.start + conflict.size) / defaultSize) * defaultSize
    }
    return undefined
  }

  #conflict(start: number, size: number): IdRange | undefined {
    const last = this.#before.get(start + size) as IdRange | undefined
    if (last && last.start + last.size > start) return last
    const reserved = this.#options.reserved ?? subordinateIds
    return reserved().find((range) => range.start < start + size && range.start + range.size > start)
  }

  /** Ranges of instances whose database is gone are free again. */
  #reclaim(size: number): number | undefined {
    for (const row of this.#database.prepare('SELECT DISTINCT owner FROM ranges').all()) {
      const owner = row['owner'] as string
      if (!existsSync(owner)) this.#database.prepare('DELETE FROM ranges WHERE owner = ?').run(owner)
    }
    return this.#firstFree(this.#options.base, size)
  }

  #locked<T>(action: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = action()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }
}

let cached: { at: number; ranges: IdRange[] } | undefined

/** subuid(5), subgid(5); read again after some seconds. */
function subordinateIds(): IdRange[] {
  const now = performance.now()
  if (cached && now - cached.at < 5000) return cached.ranges
  const ranges = ['/etc/subuid', '/etc/subgid'].flatMap((file) => parseSubordinateIds(readIfThere(file)))
  cached = { at: now, ranges }
  return ranges
}

export function parseSubordinateIds(text: string): IdRange[] {
  return text.split('\n').flatMap((line) => {
    const [, start, size] = line.trim().split(':').map(Number)
    return Number.isSafeInteger(start) && Number.isSafeInteger(size) ? [{ start: start!, size: size! }] : []
  })
}

function exhausted(size: number): HoldfastError {
  return new HoldfastError('HF_ID_RANGE_EXHAUSTED', `no free range of ${size} user ids is left`, {
    hint: 'Remove containers that are no longer needed, start the supervisor with a lower --userns-base, or use --userns=host.',
    details: { size },
  })
}
