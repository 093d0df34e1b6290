import type { LiveAttachment } from './live-attachment.ts'
import type { AttachOptions, AttachSession } from './engine.ts'

/** A client that attached before the start: connected when the container is made, and before its program runs. */
export class PendingAttachment implements AttachSession {
  readonly tty: boolean
  readonly options: AttachOptions
  readonly #connection = Promise.withResolvers<LiveAttachment | undefined>()
  readonly #forget: (attachment: PendingAttachment) => void
  #live: LiveAttachment | undefined
  /** What was written so far: the end of input must not overtake it. */
  #written: Promise<void> = Promise.resolve()
  #closed = false

  constructor(tty: boolean, options: AttachOptions, forget: (attachment: PendingAttachment) => void) {
    this.tty = tty
    this.options = options
    this.#forget = forget
  }

  connected(live: LiveAttachment): void {
    if (this.#closed) {
      live.close()
      return
    }
    this.#live = live
    this.#connection.resolve(live)
  }

  /** The container will not be started after all: the client sees the end of output. */
  cancel(): void {
    this.#closed = true
    this.#connection.resolve(undefined)
  }

  get output(): AttachSession['output'] {
    return this.#output()
  }

  async *#output(): AsyncGenerator<{ stream: 'stdout' | 'stderr'; data: Buffer }> {
    const live = await this.#connection.promise
    if (live) yield* live.output
  }

  write(data: Buffer): Promise<void> {
    const write = this.#written.then(async () => (await this.#connection.promise)?.write(data))
    this.#written = write.catch(() => {}) // whoever wrote it is told
    return write
  }

  end(): void {
    void this.#written.then(async () => (await this.#connection.promise)?.end())
  }

  close(): void {
    this.#forget(this)
    this.#live?.close()
    if (!this.#live) this.cancel()
  }
}
