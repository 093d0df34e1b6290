import { existsSync, renameSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { HoldfastError } from '@holdfast/errors'

/** Raised with every change of the tables. A newer number in a file is refused: an older engine would lose data. */
const schemaVersion = 1

/**
 * What a container is (`spec`, written once) is kept apart from how it is doing (`state`, written at every change),
 * so that a change costs one small row. `seq` is the order of creation.
 */
const schema = `
  CREATE TABLE containers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL
  ) STRICT;
  CREATE TABLE states (id TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE volumes (name TEXT PRIMARY KEY, volume TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};
`

export interface OpenedDatabase {
  database: DatabaseSync
  /** Where a damaged file was put aside; the containers are then found again by their directories. */
  setAside: string | undefined
}

/** Opens or makes the records. A file that is damaged is put aside, never written to or removed. */
export function openDatabase(path: string): OpenedDatabase {
  try {
    return { database: open(path), setAside: undefined }
  } catch (error) {
    if (error instanceof HoldfastError || !existsSync(path) || !isDamage(error)) throw error
    const setAside = `${path}.damaged-${new Date().toISOString().replaceAll(':', '')}`
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, setAside + suffix)
    }
    return { database: open(path), setAside }
  }
}

function open(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 2000 })
  try {
    // WAL with NORMAL: a write costs no fsync; a power cut may take back the last moments but never tears the file.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;')
    const version = database.prepare('PRAGMA user_version').get()?.['user_version'] as number
    if (version > schemaVersion) {
      throw new HoldfastError(
        'HF_UNSUPPORTED',
        `${path} was written by a newer Holdfast (schema ${version})`,
        {
          hint: `This one knows schema ${schemaVersion}: start the newer one, or use another data root.`,
          details: { field: 'schema', version },
        },
      )
    }
    if (version === 0) database.exec(`BEGIN; ${schema} COMMIT;`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** SQLITE_CORRUPT and SQLITE_NOTADB, sqlite.org/rescode.html. */
function isDamage(error: unknown): boolean {
  const code = (error as { errcode?: number }).errcode ?? 0
  return (code & 0xff) === 11 || (code & 0xff) === 26
}
