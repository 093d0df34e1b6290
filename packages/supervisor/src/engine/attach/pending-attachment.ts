import type { AttachOptions, AttachSession } from '../engine.ts'

/** A client that attached before the start: connected when the container is made, and before its program runs. */
export class PendingAttachment implements AttachSession {
  readonly tty: boolean
  readonly options: AttachOptions
  readonly #connection = Promise.withResolvers<AttachSession | undefined>()
  readonly #forget: (attachment: PendingAttachment) => void
  #live: AttachSession | undefined
  #offered: AttachSession | undefined
  /** What was written so far: the end of input must not overtake it. */
  #written: Promise<void> = Promise.resolve()
  #closed = false

  constructor(tty: boolean, options: AttachOptions, forget: (attachment: PendingAttachment) => void) {
    this.tty = tty
    this.options = options
    this.#forget = forget
  }

  /** Takes the place of one that was offered before. */
  offer(live: AttachSession): void {
    this.#offered?.close()
    this.#offered = live
    if (this.#closed) live.close()
  }

  /** The client has from now on what was offered last; false where nothing was. */
  connected(): boolean {
    const live = this.#offered
    if (live === undefined) return false
    if (this.#closed) return true
    this.#live = live
    this.#connection.resolve(live)
    return true
  }

  /** The container will not be started after all: the client sees the end of output. */
  cancel(): void {
    this.#closed = true
    if (!this.#live) this.#offered?.close()
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
