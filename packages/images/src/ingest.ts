/** A blob being written: hashed on its way to a temporary file. */
import { createHash, randomUUID } from 'node:crypto'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { StoreDirectories } from './directories.ts'

export class IngestFile {
  readonly path: string
  readonly #fd: number
  readonly #hash = createHash('sha256')
  #size = 0

  constructor(directories: StoreDirectories) {
    this.path = join(directories.temporary, randomUUID())
    this.#fd = openSync(this.path, 'wx', 0o600)
  }

  /** Passes `source` on and keeps a copy. */
  async *tee(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      this.#hash.update(chunk)
      this.#size += chunk.length
      for (let done = 0; done < chunk.length;) done += writeSync(this.#fd, chunk, done)
      yield chunk
    }
  }

  finish(): { digest: string; size: number } {
    return { digest: `sha256:${this.#hash.digest('hex')}`, size: this.#size }
  }

  /** Removes the file where nobody took it over. */
  close(): void {
    closeSync(this.#fd)
    rmSync(this.path, { force: true })
  }
}
