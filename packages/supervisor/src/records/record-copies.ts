/**
 * A copy of each record in its container's own directory, for the day when the database is damaged. It is written when
 * the container has existed for a second: most of those that come and go never need one, and a file costs more than
 * the rows.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StoredContainer } from './container-store.ts'

const name = 'container.json'
const delayMs = 1000

export class RecordCopies {
  readonly #directory: string
  readonly #onError: (error: unknown) => void
  readonly #due = new Map<string, StoredContainer>()
  #timer: NodeJS.Timeout | undefined

  /** `directory` holds one directory per container. `onError`: a copy could not be written; the next start tries again. */
  constructor(directory: string, onError: (error: unknown) => void) {
    this.#directory = directory
    this.#onError = onError
  }

  writeLater(container: StoredContainer): void {
    this.#due.set(container.record.id, container)
    this.#timer ??= setTimeout(() => this.writeNow(), delayMs).unref()
  }

  /** What is due, at once. */
  writeNow(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const [id, container] of this.#due) {
      try {
        writeFileSync(join(this.#directory, id, name), JSON.stringify(container))
      } catch (error) {
        this.#onError(error)
      }
    }
    this.#due.clear()
  }

  exists(id: string): boolean {
    return existsSync(join(this.#directory, id, name))
  }

  /** Undefined where there is none, or it is damaged too. */
  read(id: string): StoredContainer | undefined {
    try {
      const copy = JSON.parse(readFileSync(join(this.#directory, id, name), 'utf8')) as StoredContainer
      return copy.record.id === id && copy.record.hostConfig && copy.record.config ? copy : undefined
    } catch {
      return undefined
    }
  }

  remove(id: string): void {
    if (!this.#due.delete(id)) rmSync(join(this.#directory, id, name), { force: true })
  }
}
