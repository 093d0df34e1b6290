import type { ShimAttachment } from '../../shims/shim-attachment.ts'
import type { AttachSession } from '../engine.ts'

/** A client's connection to the stdio of something that runs. */
export class LiveAttachment implements AttachSession {
  readonly tty: boolean
  readonly #connection: ShimAttachment
  readonly #ended: () => Promise<void>
  readonly #closed = Promise.withResolvers<void>()

  /**
   * `ended`: output ends no sooner than this, unless the client goes. Who sees the end of an exec asks for its exit
   * code next, and that comes on another connection than the output.
   */
  constructor(connection: ShimAttachment, tty: boolean, ended = (): Promise<void> => Promise.resolve()) {
    this.#connection = connection
    this.tty = tty
    this.#ended = ended
  }

  get output(): AttachSession['output'] {
    return this.#output()
  }

  async *#output(): AsyncGenerator<{ stream: 'stdout' | 'stderr'; data: Buffer }> {
    yield* this.#connection.output
    await Promise.race([this.#ended(), this.#closed.promise])
  }

  write(data: Buffer): Promise<void> {
    return this.#connection.write(data)
  }

  end(): void {
    this.#connection.end()
  }

  close(): void {
    this.#closed.resolve()
    this.#connection.close()
  }
}
